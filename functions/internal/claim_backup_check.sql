CREATE OR REPLACE FUNCTION internal.claim_backup_check(p_kind text, p_node text, p_lease interval)
RETURNS TABLE (check_id text, attempt bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Give the agent of p_node the next check of a kind to make, or none: as claim_backup() does for backups, each kind
   by itself. Raises GC102 for a lease outside of 10 seconds to 1 day. */
BEGIN
    IF p_lease IS NULL OR p_lease NOT BETWEEN interval '10 seconds' AND interval '1 day' THEN
        RAISE EXCEPTION 'a lease of % is not possible', p_lease
        USING ERRCODE = 'GC102', HINT = 'Give an interval between 10 seconds and 1 day.';
    END IF;
    -- Claims come one after the other, so that two agents never see the same free place.
    PERFORM pg_advisory_xact_lock(hashtextextended('internal.claim_backup_check', 0));
    UPDATE public.communication_backup_checks AS lost
    SET status = 'failed', ended_at = clock_timestamp(),
        error = left(
            format('given up after %s attempts, the last on %s: its lease ended', lost.attempts, lost.node)
            || coalesce('; an earlier attempt: ' || lost.error, ''), 4000
        )
    WHERE lost.kind = p_kind AND lost.status = 'running' AND lost.lease_until < clock_timestamp()
        AND lost.attempts >= 3;
    IF EXISTS (
        SELECT FROM public.communication_backup_checks AS running
        WHERE running.kind = p_kind AND running.status = 'running' AND running.lease_until >= clock_timestamp()
    ) THEN
        RETURN;
    END IF;
    RETURN QUERY
    UPDATE public.communication_backup_checks AS claimed
    SET status = 'running', node = p_node, attempts = claimed.attempts + 1,
        started_at = clock_timestamp(), lease_until = clock_timestamp() + p_lease
    WHERE claimed.check_id = (
        SELECT next.check_id
        FROM public.communication_backup_checks AS next
        WHERE next.kind = p_kind AND next.status IN ('running', 'requested')
        ORDER BY next.status = 'running' DESC, next.requested_at
        LIMIT 1
    )
    RETURNING claimed.check_id, claimed.attempts;
END
$plpgsql$;

COMMENT ON FUNCTION internal.claim_backup_check(text, text, interval) IS
'The next check of this kind for the agent of this machine to make, at most one, under a lease.';
REVOKE ALL ON FUNCTION internal.claim_backup_check(text, text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.claim_backup_check(text, text, interval) TO comms_agent;
