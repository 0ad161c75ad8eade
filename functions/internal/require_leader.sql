CREATE OR REPLACE FUNCTION internal.require_leader() RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Raise GC131 on a standby, which cannot know what the leader knows. */
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'asked on a standby'
        USING ERRCODE = 'GC131', HINT = 'Ask the leader: connect to the read-write port.';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.require_leader() IS 'Refuses (GC131) on a standby.';
REVOKE ALL ON FUNCTION internal.require_leader() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.require_leader() TO comms_ops, comms_monitor;
