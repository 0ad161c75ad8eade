SET LOCAL ROLE comms_maintenance; -- it sees every tenant
CREATE OR REPLACE FUNCTION internal.tend_queue(p_max integer DEFAULT 100) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* Make ready what has become due, take back leases that have ended, at most p_max chunks of each; skips what others
   work on. Claims do it once a second. Returns how many chunks it changed. */
DECLARE
    v_due integer;
BEGIN
    WITH due AS MATERIALIZED (
        SELECT waiting.organization_id, waiting.batch_id
        FROM public.communication_batch_queue AS waiting
        WHERE waiting.state = 'scheduled' AND waiting.run_at <= clock_timestamp()
        ORDER BY waiting.run_at
        LIMIT p_max
        FOR UPDATE SKIP LOCKED
    )
    UPDATE public.communication_batch_queue AS chunk
    SET state = 'ready', fair_rank = greatest(chunk.fair_rank, internal.queue_front())
    FROM due
    WHERE chunk.organization_id = due.organization_id AND chunk.batch_id = due.batch_id;
    GET DIAGNOSTICS v_due = ROW_COUNT;
    RETURN v_due + internal.reap_leases(p_max);
END
$plpgsql$;

COMMENT ON FUNCTION internal.tend_queue(integer) IS
'Make ready what has become due and take back leases that have ended; claims do it once a second.';
REVOKE ALL ON FUNCTION internal.tend_queue(integer) FROM PUBLIC;
