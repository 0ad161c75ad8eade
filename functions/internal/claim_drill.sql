CREATE OR REPLACE FUNCTION internal.claim_drill(p_node text, p_lease interval)
RETURNS TABLE (
    drill_id text, target_type text, target text, inclusive boolean, keep boolean, attempt bigint,
    restore_point_name text, target_lsn pg_lsn
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Give the agent of p_node the next drill, or none. One runs at a time; one whose lease or pause ended comes first,
   three attempts in all. The number of the attempt is the agent's token, as with claim_backup(). target_lsn is where
   the target lies, or a position before it; NULL where only the repository can tell.
   Raises GC102 for a lease outside of 10 seconds to 1 day. */
DECLARE
    v_drill public.communication_restore_drills;
BEGIN
    IF p_lease IS NULL OR p_lease NOT BETWEEN interval '10 seconds' AND interval '1 day' THEN
        RAISE EXCEPTION 'a lease of % is not possible', p_lease
        USING ERRCODE = 'GC102', HINT = 'Give an interval between 10 seconds and 1 day.';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('internal.claim_drill', 0));
    UPDATE public.communication_restore_drills AS lost
    SET status = 'failed', completed_at = clock_timestamp(), lease_until = NULL,
        error = left(
            format('given up after %s attempts, the last on %s: its lease ended', lost.attempts, lost.node)
            || coalesce('; an earlier attempt: ' || lost.error, ''), 4000
        )
    WHERE lost.status = 'running' AND lost.lease_until < clock_timestamp() AND lost.attempts >= 3;
    IF EXISTS (
        SELECT FROM public.communication_restore_drills AS running
        WHERE running.status = 'running' AND running.lease_until >= clock_timestamp()
    ) THEN
        RETURN;
    END IF;
    SELECT next.* INTO v_drill
    FROM public.communication_restore_drills AS next
    WHERE next.status IN ('running', 'requested')
    ORDER BY next.status = 'running' DESC, next.requested_at
    LIMIT 1
    FOR UPDATE;
    UPDATE public.communication_restore_drills AS claimed
    SET status = 'running', node = p_node, attempts = claimed.attempts + 1, step = 'claimed',
        started_at = clock_timestamp(), lease_until = clock_timestamp() + p_lease,
        -- What an attempt before has found says nothing of this one.
        findings = '[]', label = NULL, backup_id = NULL
    WHERE claimed.drill_id = v_drill.drill_id;
    RETURN QUERY
    SELECT
        claimed.drill_id, claimed.target_type, claimed.target, claimed.inclusive, claimed.keep, claimed.attempts,
        point.restore_point_name,
        CASE claimed.target_type
            WHEN 'lsn' THEN claimed.target::pg_lsn
            WHEN 'xid' THEN internal.canary_before_transaction(claimed.target::xid8)
            ELSE point.lsn
        END
    FROM public.communication_restore_drills AS claimed
    LEFT JOIN public.communication_recovery_points AS point
        ON point.recovery_point_id = claimed.recovery_point_id AND claimed.target_type = 'name'
    WHERE claimed.drill_id = v_drill.drill_id;
END
$plpgsql$;

COMMENT ON FUNCTION internal.claim_drill(text, interval) IS
'The next drill for the agent of this machine, at most one, under a lease.';
REVOKE ALL ON FUNCTION internal.claim_drill(text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.claim_drill(text, interval) TO comms_agent;
