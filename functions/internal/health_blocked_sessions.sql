CREATE OR REPLACE FUNCTION internal.health_blocked_sessions(
    p_warn interval DEFAULT '5 seconds', p_fail interval DEFAULT '1 minute',
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Sessions that have waited for a lock of somebody else for p_warn or p_fail. */
DECLARE
    v_blocked bigint;
    v_longest interval;
BEGIN
    PERFORM internal.require_statistics();
    SELECT count(*), max(clock_timestamp() - wanted.waitstart) INTO v_blocked, v_longest
    FROM pg_locks AS wanted
    WHERE NOT wanted.granted AND wanted.waitstart < clock_timestamp() - p_warn;
    SELECT
        CASE WHEN v_blocked = 0 THEN 'pass' WHEN v_longest < p_fail THEN 'warn' ELSE 'fail' END,
        format('%s wait for %s seconds or more', v_blocked, extract(EPOCH FROM p_warn)::bigint),
        format('0; one that waits %s seconds fails', extract(EPOCH FROM p_fail)::bigint),
        'SELECT * FROM blocking_queries(); shows who holds what.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_blocked_sessions(interval, interval) IS 'Health: nobody waits long for a lock.';
REVOKE ALL ON FUNCTION internal.health_blocked_sessions(interval, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_blocked_sessions(interval, interval)
TO comms_ops, comms_monitor, comms_maintenance;
