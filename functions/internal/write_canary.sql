CREATE OR REPLACE FUNCTION internal.write_canary(p_drill_id text) RETURNS internal.canaries
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Write a canary (p_drill_id: for a drill; NULL: by the clock), and drop those older than any backup is kept.
   One after the other: the position is read when the one before has committed. */
DECLARE
    v_canary internal.canaries;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('internal.write_canary', 0));
    v_canary.begun_lsn := pg_current_wal_insert_lsn();
    v_canary.begun_at := clock_timestamp();
    DELETE FROM internal.canaries AS old
    WHERE old.canary_id IN (
        SELECT oldest.canary_id FROM internal.canaries AS oldest
        WHERE oldest.begun_at < v_canary.begun_at - interval '40 days'
        ORDER BY oldest.canary_id LIMIT 100
    );
    INSERT INTO internal.canaries (begun_at, begun_lsn, drill_id)
    VALUES (v_canary.begun_at, v_canary.begun_lsn, p_drill_id)
    RETURNING * INTO v_canary;
    RETURN v_canary;
END
$plpgsql$;

COMMENT ON FUNCTION internal.write_canary(text) IS 'Write the row by which a restored copy shows where it stopped.';
REVOKE ALL ON FUNCTION internal.write_canary(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.write_canary(text) TO comms_agent, comms_maintenance;
