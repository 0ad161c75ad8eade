CREATE OR REPLACE FUNCTION internal.desired_pools()
RETURNS TABLE (
    pool_name text, min_connections bigint, max_connections bigint,
    connection_timeout_ms bigint, idle_timeout_ms bigint, revision bigint
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The wanted values of every pool, for the node agents. */
    SELECT
        wanted.pool_name, wanted.min_connections, wanted.max_connections,
        wanted.connection_timeout_ms, wanted.idle_timeout_ms, wanted.revision
    FROM public.communication_pool_config AS wanted
    ORDER BY wanted.pool_name
$sql$;

COMMENT ON FUNCTION internal.desired_pools() IS 'The wanted values of every pool, for the node agents.';
REVOKE ALL ON FUNCTION internal.desired_pools() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.desired_pools() TO comms_agent;
