SET LOCAL ROLE comms_maintenance; -- it sees every tenant
CREATE OR REPLACE FUNCTION public.bind_login(p_organization_id uuid, p_login name) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Let a login act for an organization, as from its next statement. Binding twice is binding once, and
   the audit notes it.
   Raises GC002 if the login does not exist or is none of an application, GC003 if the organization does not. */
BEGIN
    PERFORM internal.require_login(p_login, 'comms_app');
    IF NOT EXISTS (SELECT FROM public.organizations WHERE organization_id = p_organization_id) THEN
        RAISE EXCEPTION 'there is no organization %', p_organization_id
        USING ERRCODE = 'GC003', HINT = 'Make it with create_organization(organization_id, name).';
    END IF;
    INSERT INTO internal.organization_logins (organization_id, login)
    VALUES (p_organization_id, p_login)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM internal.record_security_event(
            p_organization_id, 'login_binding', SESSION_USER, NULL, true, jsonb_build_object('bound', p_login)
        );
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION public.bind_login(uuid, name) IS 'Let a login of the application act for an organization.';
REVOKE ALL ON FUNCTION public.bind_login(uuid, name) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.bind_login(uuid, name) TO comms_ops;
