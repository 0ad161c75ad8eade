CREATE OR REPLACE FUNCTION public.get_connection_metrics(
    OUT max bigint, OUT used bigint, OUT active bigint, OUT idle bigint, OUT idle_in_transaction bigint,
    OUT waiting_for_lock bigint, OUT used_percent numeric, OUT pool_max bigint, OUT pool_active bigint,
    OUT pool_waiting bigint
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Sessions of clients now, against what the server takes; and the pools of all machines as their agents reported
   them in the last minute (NULL: none did). Raises GC132 for a caller who may not see the sessions of others. */
BEGIN
    PERFORM internal.require_statistics();
    max := current_setting('max_connections')::bigint;
    SELECT
        count(*), count(*) FILTER (WHERE session.state = 'active'), count(*) FILTER (WHERE session.state = 'idle'),
        count(*) FILTER (WHERE session.state LIKE 'idle in transaction%'),
        count(*) FILTER (WHERE session.wait_event_type = 'Lock')
    INTO used, active, idle, idle_in_transaction, waiting_for_lock
    FROM pg_stat_activity AS session WHERE session.backend_type = 'client backend';
    used_percent := round(100.0 * used / max, 1);
    SELECT sum(wanted.max_connections) INTO pool_max FROM public.communication_pool_config AS wanted;
    SELECT sum(load.active), sum(load.waiting) INTO pool_active, pool_waiting
    FROM internal.pool_loads AS load WHERE load.reported_at > now() - interval '1 minute';
END
$plpgsql$;

COMMENT ON FUNCTION public.get_connection_metrics() IS
'Sessions of clients now, against what the server takes, and what the pools report.';
REVOKE ALL ON FUNCTION public.get_connection_metrics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.get_connection_metrics() TO comms_ops, comms_monitor;
