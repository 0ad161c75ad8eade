CREATE OR REPLACE FUNCTION internal.readiness_synchronous_standby(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* A commit waits for a standby: the setting asks for it, and a standby is there to answer. */
DECLARE
    v_synchronous bigint;
    v_commit constant text := current_setting('synchronous_commit');
BEGIN
    PERFORM internal.require_leader();
    PERFORM internal.require_statistics();
    SELECT count(*) INTO v_synchronous FROM pg_stat_replication
    WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum');
    SELECT
        CASE WHEN v_synchronous >= 1 AND v_commit IN ('on', 'remote_apply') THEN 'pass' ELSE 'fail' END,
        format('%s synchronous, synchronous_commit %s', v_synchronous, v_commit),
        'at least 1 synchronous, synchronous_commit on or remote_apply',
        'While no standby answers, a commit is on one machine only: bring a standby back, see `guestcomms status`.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_synchronous_standby() IS 'Readiness: an acknowledged commit is on two machines.';
REVOKE ALL ON FUNCTION internal.readiness_synchronous_standby() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_synchronous_standby() TO comms_ops, comms_monitor;
