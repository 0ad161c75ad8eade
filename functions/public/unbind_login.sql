SET LOCAL ROLE comms_maintenance; -- it sees every tenant
CREATE OR REPLACE FUNCTION public.unbind_login(p_organization_id uuid, p_login name) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Take a login's right to act for an organization, as from its next statement.
   Returns whether it had the right; if so, the audit notes it. The login need not exist any more. */
BEGIN
    DELETE FROM internal.organization_logins AS bound
    WHERE bound.organization_id = p_organization_id AND bound.login = p_login;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM internal.record_security_event(
        p_organization_id, 'login_binding', SESSION_USER, NULL, true, jsonb_build_object('unbound', p_login)
    );
    RETURN true;
END
$plpgsql$;

COMMENT ON FUNCTION public.unbind_login(uuid, name) IS
'Take a login''s right to act for an organization; tells whether it had it.';
REVOKE ALL ON FUNCTION public.unbind_login(uuid, name) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.unbind_login(uuid, name) TO comms_ops;
