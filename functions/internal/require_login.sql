CREATE OR REPLACE FUNCTION internal.require_login(p_login name, p_group name) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Raise GC002 unless p_login is a role that can log in and is a member of p_group. */
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = p_login AND rolcanlogin AND NOT rolsuper) THEN
        RAISE EXCEPTION 'there is no login "%"', p_login
        USING ERRCODE = 'GC002', HINT = 'Give the name of a role that can log in, such as wedsync_app.';
    END IF;
    IF NOT pg_has_role(p_login, p_group, 'MEMBER') THEN
        RAISE EXCEPTION 'login "%" is not a member of %', p_login, p_group
        USING ERRCODE = 'GC002', HINT = format('GRANT %I TO %I first, as a superuser.', p_group, p_login);
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.require_login(name, name) IS
'Refuses (GC002) a name that is no login or not a member of the group.';
REVOKE ALL ON FUNCTION internal.require_login(name, name) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.require_login(name, name) TO comms_maintenance;
