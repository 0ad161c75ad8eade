CREATE OR REPLACE FUNCTION internal.partition_months()
RETURNS TABLE (parent text, partitions bigint, ends_at timestamptz, holes bigint, has_default boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Every table of ours that is partitioned by time: where its last partition ends, how many holes are between
       its partitions, whether it has a default partition. From the catalogue, not from pg_partman's opinion. */
    SELECT
        bounds.parent, count(bounds.partition), max(bounds.upper_end),
        count(*) FILTER (WHERE bounds.lower_end <> bounds.upper_end_before), bool_or(bounds.bound = 'DEFAULT')
    FROM (
        SELECT
            parts.*, lag(parts.upper_end) OVER (PARTITION BY parts.parent ORDER BY parts.lower_end) AS upper_end_before
        FROM (
            SELECT
                format('%I.%I', namespace.nspname, parent.relname) AS parent, child.oid AS partition, child.bound,
                substring(child.bound FROM 'FROM \(''([^'']+)''\)')::timestamptz AS lower_end,
                substring(child.bound FROM 'TO \(''([^'']+)''\)')::timestamptz AS upper_end
            FROM pg_partitioned_table AS partitioned
            JOIN pg_class AS parent ON parent.oid = partitioned.partrelid
            JOIN pg_namespace AS namespace ON namespace.oid = parent.relnamespace
            LEFT JOIN LATERAL (
                SELECT relation.oid, pg_get_expr(relation.relpartbound, relation.oid) AS bound
                FROM pg_inherits AS inheritance
                JOIN pg_class AS relation ON relation.oid = inheritance.inhrelid
                WHERE inheritance.inhparent = parent.oid
            ) AS child ON true
            WHERE partitioned.partstrat = 'r' AND namespace.nspname IN ('public', 'internal')
        ) AS parts
    ) AS bounds
    GROUP BY bounds.parent
$sql$;

COMMENT ON FUNCTION internal.partition_months() IS
'Every table partitioned by time: where its last partition ends, holes, and whether it has a default partition.';
REVOKE ALL ON FUNCTION internal.partition_months() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.partition_months() TO comms_ops, comms_monitor, comms_maintenance;
