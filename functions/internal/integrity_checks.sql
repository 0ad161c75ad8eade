CREATE OR REPLACE FUNCTION internal.integrity_checks()
RETURNS TABLE (check_name text, severity text, fixable boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The integrity checks, in the order in which they run and are best repaired. internal.integrity_<check>() finds;
       internal.repair_<check>(), where there is one, repairs what it finds and nothing else. */
    SELECT
        wanted.name, wanted.severity,
        to_regprocedure(format('internal.repair_%s(timestamptz)', wanted.name)) IS NOT NULL
    FROM (
        VALUES
        (1, 'missing_partitions', 'error'), (2, 'broken_references', 'error'),
        (3, 'recipients_without_guest', 'error'), (4, 'orphan_events', 'error'),
        (5, 'template_syntax', 'error'), (6, 'stuck_sending', 'error'), (7, 'queued_without_chunk', 'error'),
        (8, 'duplicate_recipients', 'warning'), (9, 'empty_chunks', 'warning'),
        (10, 'unfinished_communications', 'warning'), (11, 'counters', 'error')
    ) AS wanted (place, name, severity)
    ORDER BY wanted.place
$sql$;

COMMENT ON FUNCTION internal.integrity_checks() IS 'The integrity checks: severity, and whether there is a repair.';
REVOKE ALL ON FUNCTION internal.integrity_checks() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.integrity_checks() TO comms_maintenance;
