CREATE OR REPLACE FUNCTION internal.health_partitions_ahead(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Every partitioned table has at least the next two months, without a hole: a row without a partition is refused. */
DECLARE
    v_tables bigint;
    v_ends_at timestamptz;
    v_late text;
BEGIN
    SELECT
        count(*), min(months.ends_at), string_agg(months.parent, ', ' ORDER BY months.parent)
            FILTER (WHERE months.ends_at < now() + interval '2 months' OR months.holes > 0)
    INTO v_tables, v_ends_at, v_late
    FROM internal.partition_months() AS months;
    SELECT
        CASE
            WHEN v_tables = 0 THEN 'unknown'
            WHEN v_late IS NULL THEN 'pass'
            WHEN v_ends_at > now() + interval '1 month' THEN 'warn'
            ELSE 'fail'
        END,
        CASE WHEN v_tables = 0 THEN 'no partitioned tables' ELSE format('until %s; late: %s', v_ends_at::date, coalesce(v_late, 'none')) END,
        'at least 2 months ahead; less than 1 fails',
        'SELECT * FROM perform_communication_maintenance(); and read what the job maintain-partitions said.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_partitions_ahead() IS 'Health: every table has its next months.';
REVOKE ALL ON FUNCTION internal.health_partitions_ahead() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_partitions_ahead() TO comms_ops, comms_monitor, comms_maintenance;
