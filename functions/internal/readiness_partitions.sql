CREATE OR REPLACE FUNCTION internal.readiness_partitions(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Messages, recipients and events are partitioned and kept up: their next two months are there, and none has a
   default partition, in which rows would hide. */
DECLARE
    v_ready bigint;
BEGIN
    SELECT count(*) INTO v_ready FROM internal.partition_months() AS months
    WHERE
        months.parent IN ('public.guest_communications', 'public.communication_recipients', 'public.delivery_status')
        AND months.ends_at >= now() + interval '2 months' AND months.holes = 0 AND NOT months.has_default;
    SELECT
        CASE WHEN v_ready = 3 THEN 'pass' ELSE 'fail' END,
        format('%s of 3 tables', v_ready),
        'all 3 have 2 months ahead, no hole, no default partition',
        'SELECT * FROM internal.partition_months(); then SELECT * FROM repair_integrity(''missing_partitions'', false);'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_partitions() IS 'Readiness: the next months of messages and events are there.';
REVOKE ALL ON FUNCTION internal.readiness_partitions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_partitions() TO comms_ops, comms_monitor;
