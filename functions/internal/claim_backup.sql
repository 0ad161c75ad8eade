CREATE OR REPLACE FUNCTION internal.claim_backup(p_node text, p_lease interval)
RETURNS TABLE (backup_id text, backup_type text, attempt bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Give the agent of p_node the next backup to take, or none. One backup runs at a time: while another
   holds its lease there is none. A backup whose lease or pause ended comes first, three attempts in all.
   The number of the attempt is the agent's token: it shows it whenever it speaks of this backup, so
   that whoever lost the backup cannot speak for the attempt that follows.
   Raises GC102 for a lease outside of 10 seconds to 1 day. */
DECLARE
    v_backup public.communication_backups;
BEGIN
    IF p_lease IS NULL OR p_lease NOT BETWEEN interval '10 seconds' AND interval '1 day' THEN
        RAISE EXCEPTION 'a lease of % is not possible', p_lease
        USING ERRCODE = 'GC102', HINT = 'Give an interval between 10 seconds and 1 day.';
    END IF;
    -- Claims come one after the other, so that two agents never see the same free place.
    PERFORM pg_advisory_xact_lock(hashtextextended('internal.claim_backup', 0));
    UPDATE public.communication_backups AS lost
    SET status = 'failed', failed_at = clock_timestamp(),
        error = left(
            format('given up after %s attempts, the last on %s: its lease ended', lost.attempts, lost.node)
            || coalesce('; an earlier attempt: ' || lost.error, ''), 4000
        )
    WHERE lost.status = 'running' AND lost.lease_until < clock_timestamp() AND lost.attempts >= 3;
    IF EXISTS (
        SELECT FROM public.communication_backups AS running
        WHERE running.status = 'running' AND running.lease_until >= clock_timestamp()
    ) THEN
        RETURN;
    END IF;
    SELECT next.* INTO v_backup
    FROM public.communication_backups AS next
    WHERE next.status IN ('running', 'requested')
    ORDER BY next.status = 'running' DESC, next.requested_at
    LIMIT 1
    FOR UPDATE;
    RETURN QUERY
    UPDATE public.communication_backups AS claimed
    SET status = 'running', node = p_node, attempts = claimed.attempts + 1,
        started_at = clock_timestamp(), lease_until = clock_timestamp() + p_lease
    WHERE claimed.backup_id = v_backup.backup_id
    RETURNING claimed.backup_id, claimed.backup_type, claimed.attempts;
END
$plpgsql$;

COMMENT ON FUNCTION internal.claim_backup(text, interval) IS
'The next backup for the agent of this machine to take, at most one, under a lease.';
REVOKE ALL ON FUNCTION internal.claim_backup(text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.claim_backup(text, interval) TO comms_agent;
