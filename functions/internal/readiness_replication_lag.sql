CREATE OR REPLACE FUNCTION internal.readiness_replication_lag(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* How far the slowest standby is behind in replaying the log: what a read on it misses. */
DECLARE
    v_bytes numeric;
BEGIN
    PERFORM internal.require_leader();
    PERFORM internal.require_statistics();
    SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) INTO v_bytes
    FROM pg_stat_replication WHERE state = 'streaming';
    SELECT
        CASE
            WHEN v_bytes IS NULL THEN 'unknown'
            WHEN v_bytes < 64 * 1024 ^ 2 THEN 'pass'
            WHEN v_bytes < 1024 ^ 3 THEN 'warn'
            ELSE 'fail'
        END,
        coalesce(pg_size_pretty(v_bytes), 'no standby streams'),
        'less than 64 MB; 1 GB fails',
        'Look for a long query on the standby, a slow disk or a slow network.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_replication_lag() IS 'Readiness: how far the slowest standby is behind.';
REVOKE ALL ON FUNCTION internal.readiness_replication_lag() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_replication_lag() TO comms_ops, comms_monitor;
