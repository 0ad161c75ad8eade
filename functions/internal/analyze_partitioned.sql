CREATE OR REPLACE FUNCTION internal.analyze_partitioned() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Statistics of every partitioned table as a whole: autovacuum makes them for partitions only, and the planner wants
   both. For the owner of the tables. Returns for how many. */
DECLARE
    v_table text;
    v_tables bigint := 0;
BEGIN
    FOR v_table IN SELECT months.parent FROM internal.partition_months() AS months ORDER BY months.parent LOOP
        EXECUTE format('ANALYZE %s', v_table::regclass);
        v_tables := v_tables + 1;
    END LOOP;
    RETURN v_tables;
END
$plpgsql$;

COMMENT ON FUNCTION internal.analyze_partitioned() IS
'Statistics of every partitioned table as a whole, which autovacuum does not make.';
REVOKE ALL ON FUNCTION internal.analyze_partitioned() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.analyze_partitioned() TO comms_maintenance;
