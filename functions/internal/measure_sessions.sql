SET LOCAL ROLE comms_maintenance; -- it measures over every tenant, and shows sums only
CREATE OR REPLACE FUNCTION internal.measure_sessions()
RETURNS TABLE (metric_name text, labels jsonb, metric_value double precision, measured_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Sessions of clients by state, against what the server takes. */
    SELECT 'connections_max', '{}'::jsonb, current_setting('max_connections')::double precision, now()
    UNION ALL
    SELECT 'connections_used', '{}'::jsonb, count(*)::double precision, now()
    FROM pg_stat_activity AS session WHERE session.backend_type = 'client backend'
    UNION ALL
    SELECT 'connections', jsonb_build_object('state', session.state), count(*)::double precision, now()
    FROM pg_stat_activity AS session
    WHERE session.backend_type = 'client backend' AND session.state IS NOT NULL
    GROUP BY session.state
    UNION ALL
    SELECT
        'pool_waiting_clients', jsonb_build_object('pool', load.pool_name, 'node', load.node),
        load.waiting::double precision, now()
    FROM internal.pool_loads AS load WHERE load.reported_at > now() - interval '1 minute'
    UNION ALL
    SELECT
        'pool_active_connections', jsonb_build_object('pool', load.pool_name, 'node', load.node),
        load.active::double precision, now()
    FROM internal.pool_loads AS load WHERE load.reported_at > now() - interval '1 minute'
$sql$;

COMMENT ON FUNCTION internal.measure_sessions() IS 'Metrics: sessions of clients by state.';
REVOKE ALL ON FUNCTION internal.measure_sessions() FROM PUBLIC;
