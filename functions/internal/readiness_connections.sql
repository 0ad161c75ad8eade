CREATE OR REPLACE FUNCTION internal.readiness_connections(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Room for new connections: ours at most 85 % of what the server takes. */
DECLARE
    v_used bigint;
    v_most constant bigint := current_setting('max_connections')::bigint;
BEGIN
    SELECT count(*) INTO v_used FROM pg_stat_activity WHERE backend_type = 'client backend';
    SELECT
        CASE WHEN v_used < 0.85 * v_most THEN 'pass' WHEN v_used < 0.95 * v_most THEN 'warn' ELSE 'fail' END,
        format('%s of %s', v_used, v_most),
        'less than 85 %; 95 % fails',
        'SELECT usename, state, count(*) FROM pg_stat_activity GROUP BY 1, 2; lower a pool or raise max_connections.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_connections() IS 'Readiness: room for new connections.';
REVOKE ALL ON FUNCTION internal.readiness_connections() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_connections() TO comms_ops, comms_monitor;
