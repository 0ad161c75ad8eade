CREATE OR REPLACE FUNCTION internal.health_default_partitions(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* No table has a default partition: a row in it would stop pg_partman from making that month, for every table. */
DECLARE
    v_tables bigint;
    v_with_default text;
BEGIN
    SELECT count(*), string_agg(months.parent, ', ' ORDER BY months.parent) FILTER (WHERE months.has_default)
    INTO v_tables, v_with_default
    FROM internal.partition_months() AS months;
    SELECT
        CASE WHEN v_tables = 0 THEN 'unknown' WHEN v_with_default IS NULL THEN 'pass' ELSE 'fail' END,
        CASE WHEN v_tables = 0 THEN 'no partitioned tables' ELSE coalesce(v_with_default, 'none') END,
        'none',
        'Move its rows out, ALTER TABLE … DETACH PARTITION it and drop it.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_default_partitions() IS 'Health: no table has a default partition.';
REVOKE ALL ON FUNCTION internal.health_default_partitions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_default_partitions() TO comms_ops, comms_monitor, comms_maintenance;
