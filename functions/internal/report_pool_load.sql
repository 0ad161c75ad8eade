CREATE OR REPLACE FUNCTION internal.report_pool_load(p_pool text, p_node text, p_waiting bigint, p_active bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Record how busy the pool of one machine is, then let the pools follow the load: clients that wait for a connection,
   connections that work for a client. Raises GC122 if there is no such pool. */
DECLARE
    v_idle boolean;
BEGIN
    SELECT p_active < wanted.max_connections / 2.0 AND p_waiting = 0 INTO v_idle
    FROM public.communication_pool_config AS wanted WHERE wanted.pool_name = p_pool;
    IF v_idle IS NULL THEN
        RAISE EXCEPTION 'there is no pool "%", or no numbers for it', p_pool
        USING ERRCODE = 'GC122', HINT = 'Read desired_pools() again and report how many clients wait and are served.';
    END IF;
    INSERT INTO internal.pool_loads AS load (pool_name, node, waiting, active, reports_waiting, idle_since)
    VALUES (
        p_pool, p_node, p_waiting, p_active, (p_waiting > 0)::integer, CASE WHEN v_idle THEN clock_timestamp() END
    )
    ON CONFLICT (pool_name, node) DO UPDATE
    SET waiting = excluded.waiting, active = excluded.active, reported_at = clock_timestamp(),
        reports_waiting = CASE WHEN excluded.waiting > 0 THEN load.reports_waiting + 1 ELSE 0 END,
        idle_since = CASE WHEN excluded.idle_since IS NOT NULL THEN coalesce(load.idle_since, excluded.idle_since) END;
    PERFORM internal.autoscale_pools();
END
$plpgsql$;

COMMENT ON FUNCTION internal.report_pool_load(text, text, bigint, bigint) IS
'Record how busy the pool of one machine is, and let the pools follow the load.';
REVOKE ALL ON FUNCTION internal.report_pool_load(text, text, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.report_pool_load(text, text, bigint, bigint) TO comms_agent;
