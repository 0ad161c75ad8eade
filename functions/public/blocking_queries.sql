CREATE OR REPLACE FUNCTION public.blocking_queries()
RETURNS TABLE (
    blocked_pid integer, blocked_user name, blocked_query text, waiting interval, blocking_pid integer,
    blocking_user name, blocking_application text, blocking_state text, blocking_since interval, blocking_query text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Who waits for a lock, and for whom: one row per pair, longest wait first. A blocking_pid of 0 is a prepared
   transaction. blocking_query is the last one of an idle session. Raises GC132 for a caller who may not see the
   sessions of others. */
BEGIN
    PERFORM internal.require_statistics();
    RETURN QUERY
    SELECT
        blocked.pid, blocked.usename, blocked.query, clock_timestamp() - lock.waits_since, holder.pid,
        blocking.usename, blocking.application_name, blocking.state, now() - blocking.xact_start, blocking.query
    FROM pg_stat_activity AS blocked
    JOIN (
        SELECT wanted.pid, min(wanted.waitstart) AS waits_since FROM pg_locks AS wanted
        WHERE NOT wanted.granted GROUP BY wanted.pid
    ) AS lock ON lock.pid = blocked.pid
    CROSS JOIN LATERAL unnest(pg_blocking_pids(blocked.pid)) AS holder (pid)
    LEFT JOIN pg_stat_activity AS blocking ON blocking.pid = holder.pid
    ORDER BY lock.waits_since, holder.pid;
END
$plpgsql$;

COMMENT ON FUNCTION public.blocking_queries() IS 'Who waits for a lock, and for whom; longest wait first.';
REVOKE ALL ON FUNCTION public.blocking_queries() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.blocking_queries() TO comms_ops, comms_monitor;
