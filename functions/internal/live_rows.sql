CREATE OR REPLACE FUNCTION internal.live_rows() RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Live rows of the tables in public, as the statistics collector counts them: exact counts would
       read every table whole. */
    SELECT coalesce(sum(n_live_tup), 0)::bigint FROM pg_stat_all_tables WHERE schemaname = 'public'
$sql$;

COMMENT ON FUNCTION internal.live_rows() IS 'Live rows of the tables in public, as the statistics count them.';
REVOKE ALL ON FUNCTION internal.live_rows() FROM PUBLIC;
