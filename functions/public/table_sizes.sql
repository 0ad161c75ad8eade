CREATE OR REPLACE FUNCTION public.table_sizes()
RETURNS TABLE (
    table_name text, partition_name text, live_rows bigint, table_bytes bigint, index_bytes bigint, total_bytes bigint
)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Bytes and live rows, as the statistics count them, of every table of ours, biggest first: one row for the table
       with all its partitions, and below it one for each partition. table_bytes includes what is stored out of line. */
    SELECT
        sized.table_name, sized.partition_name, sum(sized.live_rows)::bigint, sum(sized.table_bytes)::bigint,
        sum(sized.index_bytes)::bigint, (sum(sized.table_bytes) + sum(sized.index_bytes))::bigint
    FROM (
        SELECT
            format('%I.%I', namespace.nspname, root.relname) AS table_name,
            CASE WHEN relation.relispartition THEN relation.relname::text END AS partition_name,
            coalesce(pg_stat_get_live_tuples(relation.oid), 0) AS live_rows,
            pg_table_size(relation.oid) AS table_bytes, pg_indexes_size(relation.oid) AS index_bytes
        FROM pg_class AS relation
        JOIN pg_class AS root ON root.oid = coalesce(pg_partition_root(relation.oid), relation.oid)
        JOIN pg_namespace AS namespace ON namespace.oid = root.relnamespace
        WHERE relation.relkind IN ('r', 'm') AND namespace.nspname IN ('public', 'internal')
    ) AS sized
    GROUP BY GROUPING SETS ((sized.table_name), (sized.table_name, sized.partition_name))
    HAVING grouping(sized.partition_name) = 1 OR sized.partition_name IS NOT NULL
    ORDER BY
        max(sum(sized.table_bytes) + sum(sized.index_bytes)) OVER (PARTITION BY sized.table_name) DESC,
        sized.table_name, sized.partition_name NULLS FIRST
$sql$;

COMMENT ON FUNCTION public.table_sizes() IS
'Bytes and live rows of every table, its partitions summed up, and of each partition (partition_name not NULL).';
REVOKE ALL ON FUNCTION public.table_sizes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.table_sizes() TO comms_ops, comms_monitor, comms_maintenance;
