CREATE OR REPLACE FUNCTION public.check_communication_system_health()
RETURNS TABLE (check_name text, status text, value text, threshold text, what_to_do text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* One row per check of the running system, from live facts only, with the caller's own rights. Each check is
       a function internal.health_<check>(), or one of readiness where the question is the same; one that cannot
       be evaluated, for whatever reason, is unknown. */
    SELECT wanted.name, judged.status, judged.value, judged.threshold, judged.what_to_do
    FROM (
        VALUES
        (1, 'sending', 'health_'), (2, 'queue_age', 'health_'), (3, 'queue_depth', 'health_'),
        (4, 'leases', 'health_'), (5, 'dead_letters', 'health_'), (6, 'unknown_recipients', 'health_'),
        (7, 'unmatched_events', 'health_'), (8, 'counters', 'health_'), (9, 'integrity', 'health_'),
        (10, 'subject_requests', 'health_'), (11, 'partitions_ahead', 'health_'),
        (12, 'default_partitions', 'health_'), (13, 'jobs', 'health_'), (14, 'maintenance', 'health_'), (15, 'metrics', 'health_'),
        (16, 'response_times', 'health_'), (17, 'cache_hit', 'health_'), (18, 'oldest_transaction', 'health_'),
        (19, 'blocked_sessions', 'health_'), (20, 'pools', 'health_'), (21, 'connections', 'readiness_'),
        (22, 'transaction_ids', 'readiness_'), (23, 'wal_audited', 'readiness_'), (24, 'backups_verified', 'readiness_')
    ) AS wanted (place, name, kind)
    CROSS JOIN LATERAL internal.judge(wanted.kind || wanted.name) AS judged
    ORDER BY wanted.place
$sql$;

COMMENT ON FUNCTION public.check_communication_system_health() IS
'How the running system is: one row per check, with status pass, warn, fail or unknown, and what to do.';
REVOKE ALL ON FUNCTION public.check_communication_system_health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.check_communication_system_health() TO comms_ops, comms_monitor;
