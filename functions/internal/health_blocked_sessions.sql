CREATE OR REPLACE FUNCTION internal.health_blocked_sessions(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Sessions that wait for a lock of somebody else. */
DECLARE
    v_blocked bigint;
    v_longest interval;
BEGIN
    PERFORM internal.require_statistics();
    SELECT count(*), max(clock_timestamp() - wanted.waitstart) INTO v_blocked, v_longest
    FROM pg_locks AS wanted
    WHERE NOT wanted.granted AND wanted.waitstart < clock_timestamp() - interval '5 seconds';
    SELECT
        CASE WHEN v_blocked = 0 THEN 'pass' WHEN v_longest < interval '1 minute' THEN 'warn' ELSE 'fail' END,
        format('%s wait for 5 seconds or more', v_blocked),
        '0; one that waits a minute fails',
        'SELECT * FROM blocking_queries(); shows who holds what.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_blocked_sessions() IS 'Health: nobody waits long for a lock.';
REVOKE ALL ON FUNCTION internal.health_blocked_sessions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_blocked_sessions() TO comms_ops, comms_monitor, comms_maintenance;
