CREATE OR REPLACE FUNCTION internal.analyze_grown() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Statistics of tables that are four times as large as when they were last looked at, or were never looked at. Calls
   keep their plans: one made while a table was empty reads all of it for each row until statistics say otherwise, and
   autovacuum may take more than a minute to come: on a new cluster, or when a month's first campaign is queued. For
   the owner of the tables; leaves alone what others vacuum. Returns for how many. */
DECLARE
    v_table regclass;
    v_tables bigint := 0;
BEGIN
    FOR v_table IN
        SELECT entry.oid
        FROM pg_class AS entry
        WHERE entry.relkind = 'r' AND entry.relpersistence = 'p'
            AND entry.relnamespace IN ('public'::regnamespace, 'internal'::regnamespace)
            AND pg_relation_size(entry.oid) / current_setting('block_size')::bigint > 10 + 4 * entry.relpages
        ORDER BY entry.oid
    LOOP
        EXECUTE format('ANALYZE (SKIP_LOCKED) %s', v_table);
        v_tables := v_tables + 1;
    END LOOP;
    RETURN v_tables;
END
$plpgsql$;

COMMENT ON FUNCTION internal.analyze_grown() IS
'Statistics of tables that have grown fourfold: plans made while they were empty end sooner than by autovacuum.';
REVOKE ALL ON FUNCTION internal.analyze_grown() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.analyze_grown() TO comms_maintenance;
