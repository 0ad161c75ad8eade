CREATE OR REPLACE FUNCTION public.enter_tenant(p_organization_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Enter an organization until the end of the transaction. Every tenant function begins with it; a
   plain SELECT on tenant tables has to come after it, in the same transaction.
   Raises GC001 if the login is not bound to the organization, whether or not that exists. */
BEGIN
    PERFORM set_config('app.organization_id', coalesce(p_organization_id::text, ''), true);
    IF internal.current_organization() IS NULL
        OR p_organization_id = '00000000-0000-0000-0000-000000000000' -- the platform's rows are no tenant's
    THEN
        RAISE EXCEPTION 'login "%" may not act for organization %', SESSION_USER, p_organization_id
        USING ERRCODE = 'GC001',
            HINT = 'Somebody of operations binds it with bind_login(organization_id, login).';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION public.enter_tenant(uuid) IS
'Enter an organization for the rest of the transaction; refuses (GC001) a login that is not bound to it.';
REVOKE ALL ON FUNCTION public.enter_tenant(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.enter_tenant(uuid) TO comms_app, comms_worker;
