CREATE OR REPLACE FUNCTION internal.readiness_standbys_streaming(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Standbys that receive the log now. One is enough to lose a machine, two to repair one meanwhile. */
DECLARE
    v_streaming bigint;
BEGIN
    PERFORM internal.require_leader();
    PERFORM internal.require_statistics();
    SELECT count(*) INTO v_streaming FROM pg_stat_replication WHERE state = 'streaming';
    SELECT
        CASE WHEN v_streaming >= 2 THEN 'pass' WHEN v_streaming = 1 THEN 'warn' ELSE 'fail' END,
        format('%s streaming', v_streaming),
        'at least 2 streaming',
        'See `guestcomms status` and `guestcomms logs` of the machine that is missing.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_standbys_streaming() IS 'Readiness: standbys that stream.';
REVOKE ALL ON FUNCTION internal.readiness_standbys_streaming() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_standbys_streaming() TO comms_ops, comms_monitor;
