CREATE OR REPLACE FUNCTION public.index_usage()
RETURNS TABLE (
    table_name text, index_name text, scans bigint, rows_read bigint, rows_fetched bigint, index_bytes bigint,
    last_scan timestamptz, is_unique boolean, counted_since timestamptz
)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* How often every index of ours was used, least used first; an index of a partitioned table is the sum of those of
       its partitions. One that is not unique and was not used in a month that is typical costs more than it gives:
       a unique one guards its key, used or not. Statistics count from counted_since, on this machine alone. */
    SELECT
        format('%I.%I', namespace.nspname, root_table.relname), root.relname::text,
        sum(pg_stat_get_numscans(leaf.indexrelid))::bigint, sum(pg_stat_get_tuples_returned(leaf.indexrelid))::bigint,
        sum(pg_stat_get_tuples_fetched(leaf.indexrelid))::bigint, sum(pg_relation_size(leaf.indexrelid))::bigint,
        max(pg_stat_get_lastscan(leaf.indexrelid)), bool_and(leaf.indisunique), max(database.stats_reset)
    FROM pg_index AS leaf
    JOIN pg_class AS leaf_class ON leaf_class.oid = leaf.indexrelid AND leaf_class.relkind = 'i'
    JOIN pg_class AS root ON root.oid = coalesce(pg_partition_root(leaf.indexrelid), leaf.indexrelid)
    JOIN pg_index AS root_index ON root_index.indexrelid = root.oid
    JOIN pg_class AS root_table ON root_table.oid = root_index.indrelid
    JOIN pg_namespace AS namespace ON namespace.oid = root_table.relnamespace
    JOIN pg_stat_database AS database ON database.datname = current_database()
    WHERE namespace.nspname IN ('public', 'internal') AND root_table.relkind IN ('r', 'p', 'm')
    GROUP BY namespace.nspname, root_table.relname, root.relname
    ORDER BY 3, 6 DESC, 1, 2
$sql$;

COMMENT ON FUNCTION public.index_usage() IS
'How often every index was used, least used first; of a partitioned table the sum over its partitions.';
REVOKE ALL ON FUNCTION public.index_usage() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.index_usage() TO comms_ops, comms_monitor;
