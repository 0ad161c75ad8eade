CREATE OR REPLACE FUNCTION internal.readiness_replication_slots(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* A slot that nobody reads keeps the log until the disk is full, or is dropped and its standby with it. */
DECLARE
    v_lost bigint;
    v_inactive bigint;
BEGIN
    SELECT
        count(*) FILTER (WHERE wal_status IN ('unreserved', 'lost')),
        count(*) FILTER (WHERE NOT active)
    INTO v_lost, v_inactive
    FROM pg_replication_slots;
    SELECT
        CASE WHEN v_lost > 0 THEN 'fail' WHEN v_inactive > 0 THEN 'warn' ELSE 'pass' END,
        format('%s lost, %s inactive', v_lost, v_inactive),
        'none lost, none inactive',
        'SELECT * FROM pg_replication_slots; bring the reader back, or drop the slot if it is gone for good.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_replication_slots() IS 'Readiness: no replication slot is lost or unread.';
REVOKE ALL ON FUNCTION internal.readiness_replication_slots() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_replication_slots() TO comms_ops, comms_monitor;
