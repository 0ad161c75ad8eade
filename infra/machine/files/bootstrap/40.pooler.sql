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
