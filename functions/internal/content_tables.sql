SET LOCAL ROLE comms_maintenance; -- it sees every tenant
CREATE OR REPLACE FUNCTION internal.content_tables() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The tables whose content a drill compares: all of public and internal that comms_maintenance reads, a
       partitioned one as a whole. What is left out is no tenant's: ledgers of backups, drills, load runs, migrations. */
    SELECT format('%I.%I', namespace.nspname, relation.relname)
    FROM pg_class AS relation
    JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
    WHERE
        namespace.nspname IN ('public', 'internal') AND relation.relkind IN ('r', 'p') AND NOT relation.relispartition
        AND relation.relpersistence = 'p' AND has_table_privilege(CURRENT_USER, relation.oid, 'SELECT')
    ORDER BY 1
$sql$;

COMMENT ON FUNCTION internal.content_tables() IS 'The tables whose content a restore drill compares.';
REVOKE ALL ON FUNCTION internal.content_tables() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.content_tables() TO comms_agent, comms_owner;
