CREATE OR REPLACE FUNCTION internal.analyze_grown() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $plpgsql$
/* Statistics of tables that are four times as large as when they were last looked at, or were never looked at. Calls
   keep their plans: one made while a table was empty reads all of it for each row until statistics say otherwise, and
   autovacuum takes a minute or longer to come: on a new cluster, or when a month's first campaign is queued. For the
   owner of the tables. Leaves alone what others vacuum or change, begins nothing after a second, because locks last
   until the end, and tells of what fails in a warning: the next call goes on. Returns for how many. */
DECLARE
    v_table record;
    v_tables bigint := 0;
BEGIN
    FOR v_table IN
        SELECT entry.oid::regclass AS name, entry.relpages AS pages
        FROM pg_class AS entry
        WHERE entry.relkind = 'r' AND entry.relpersistence = 'p'
            AND entry.relnamespace IN ('public'::regnamespace, 'internal'::regnamespace)
            AND NOT EXISTS (
                SELECT FROM pg_locks AS lock
                JOIN pg_database AS database ON database.oid = lock.database
                WHERE database.datname = current_database() AND lock.relation = entry.oid
                    AND lock.mode IN (
                        'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                        'AccessExclusiveLock'
                    )
            )
        ORDER BY entry.oid
    LOOP
        EXIT WHEN clock_timestamp() > statement_timestamp() + interval '1 second';
        BEGIN
            IF pg_relation_size(v_table.name) / current_setting('block_size')::bigint > 10 + 4 * v_table.pages THEN
                EXECUTE format('ANALYZE %s', v_table.name);
                v_tables := v_tables + 1;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'no statistics of %: %', v_table.name, SQLERRM;
        END;
    END LOOP;
    RETURN v_tables;
END
$plpgsql$;

COMMENT ON FUNCTION internal.analyze_grown() IS
'Statistics of tables that have grown fourfold: plans made while they were empty end sooner than by autovacuum.';
REVOKE ALL ON FUNCTION internal.analyze_grown() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.analyze_grown() TO comms_maintenance;
