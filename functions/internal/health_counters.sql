SET LOCAL ROLE comms_maintenance; -- it counts over every tenant, and shows counts only
CREATE OR REPLACE FUNCTION internal.health_counters(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Changes of counters are summed up each minute; many that wait mean that the job does not keep up. */
DECLARE
    v_open bigint;
BEGIN
    SELECT count(*) INTO v_open
    FROM (SELECT FROM internal.communication_counter_deltas LIMIT 1000001) AS open_deltas;
    SELECT
        CASE WHEN v_open <= 100000 THEN 'pass' WHEN v_open <= 1000000 THEN 'warn' ELSE 'fail' END,
        CASE WHEN v_open > 1000000 THEN 'more than 1000000' ELSE v_open::text END || ' changes open',
        'at most 100000; more than 1000000 fail',
        'Read what the job that calls internal.roll_up_counters() said, and call it as comms_maintenance.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_counters() IS 'Health: counters of messages are summed up.';
REVOKE ALL ON FUNCTION internal.health_counters() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_counters() TO comms_ops, comms_monitor, comms_maintenance;
