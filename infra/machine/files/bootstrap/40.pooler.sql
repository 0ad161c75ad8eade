-- PgBouncer looks up the SCRAM verifier of whoever connects: it keeps no list of users.

CREATE OR REPLACE FUNCTION pgbouncer.get_auth(p_usename text)
RETURNS TABLE (usename name, passwd text)
LANGUAGE sql STABLE STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    -- Superusers and replication roles never come through the pooler; an expired login has no verifier.
    SELECT
        rolname,
        CASE WHEN rolvaliduntil IS NULL OR rolvaliduntil > now() THEN rolpassword END
    FROM pg_authid
    WHERE rolname = p_usename AND rolcanlogin AND NOT rolsuper AND NOT rolreplication
$sql$;

COMMENT ON FUNCTION pgbouncer.get_auth(text) IS
'The SCRAM verifier of one login, for PgBouncer''s auth_query; no superuser, no expired login.';
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
