CREATE OR REPLACE FUNCTION internal.readiness_login_bindings(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Every login of the application may act for an organization, and none is bound that no longer
   exists: whoever makes a role of that name would inherit its organizations. */
DECLARE
    v_vanished text;
    v_unbound text;
BEGIN
    SELECT string_agg(DISTINCT bound.login, ', ') INTO v_vanished
    FROM (
        SELECT login FROM internal.organization_logins
        UNION ALL
        SELECT login FROM internal.unrestricted_logins
    ) AS bound
    WHERE NOT EXISTS (SELECT FROM pg_roles AS role WHERE role.rolname = bound.login AND role.rolcanlogin);
    SELECT string_agg(role.rolname, ', ' ORDER BY role.rolname) INTO v_unbound
    FROM pg_roles AS role
    WHERE
        role.rolcanlogin AND NOT role.rolsuper AND pg_has_role(role.oid, 'comms_app', 'MEMBER')
        AND NOT EXISTS (SELECT FROM internal.organization_logins AS bound WHERE bound.login = role.rolname);
    SELECT
        CASE WHEN v_vanished IS NOT NULL THEN 'fail' WHEN v_unbound IS NOT NULL THEN 'warn' ELSE 'pass' END,
        format('bound but vanished: %s; unbound: %s', coalesce(v_vanished, 'none'), coalesce(v_unbound, 'none')),
        'none vanished, none unbound',
        'bind_login(organization_id, login) what is unbound, unbind_login(…) what has vanished.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_login_bindings() IS 'Readiness: logins and their organizations match.';
REVOKE ALL ON FUNCTION internal.readiness_login_bindings() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_login_bindings() TO comms_ops, comms_monitor;
