-- PgBouncer looks up the SCRAM verifier of whoever connects: it keeps no list of users.

CREATE OR REPLACE FUNCTION pgbouncer.get_auth(p_usename text)
RETURNS TABLE (usename name, passwd text)
LANGUAGE sql STABLE STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    -- Who comes through the pooler: logins in one of our groups, with a password that has not expired.
    -- Never a superuser, a replication role, or PgBouncer's own role.
    SELECT login.rolname, login.rolpassword
    FROM pg_authid AS login
    WHERE login.rolname = p_usename AND login.rolname <> 'pgbouncer' AND login.rolcanlogin
        AND NOT login.rolsuper AND NOT login.rolreplication
        AND login.rolpassword IS NOT NULL
        AND (login.rolvaliduntil IS NULL OR login.rolvaliduntil > now())
        AND EXISTS (
            SELECT FROM pg_auth_members AS membership
            JOIN pg_authid AS crowd ON crowd.oid = membership.roleid
            WHERE membership.member = login.oid AND crowd.rolname LIKE 'comms\_%' AND NOT crowd.rolcanlogin
        )
$sql$;

COMMENT ON FUNCTION pgbouncer.get_auth(text) IS
'The SCRAM verifier of one login, for PgBouncer''s auth_query: members of our groups with a living password.';
REVOKE ALL ON FUNCTION pgbouncer.get_auth(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA pgbouncer TO pgbouncer;
GRANT EXECUTE ON FUNCTION pgbouncer.get_auth(text) TO pgbouncer;

-- What the first row of communication_pool_config is made with; afterwards the row decides.
DO $pools$
DECLARE
    v_setting record;
BEGIN
    FOR v_setting IN
        VALUES ('guestcomms.pool_size', '${pool_size}'),
        ('guestcomms.query_wait_timeout_ms', '${query_wait_timeout_ms}')
    LOOP
        EXECUTE format(
            'ALTER DATABASE %I SET %s = %L', current_database(), v_setting.column1, v_setting.column2
        );
    END LOOP;
END
$pools$;
