SET LOCAL ROLE comms_maintenance; -- it sees every tenant
CREATE OR REPLACE FUNCTION internal.settle_batch(p_batch public.communication_batch_queue, p_served integer)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* End the lease of a chunk, whose row the caller has locked: ready again if a recipient is due, scheduled for the
   first one that will be, deleted if nobody is left. p_served recipients were handed out: the chunk goes back by as
   many places, so that organizations take turns in the middle of a chunk, too. It then begins with its first
   recipient that is still queued: what is done is not read again. Attempts and last error become those of p_batch.
   Returns ready, scheduled or deleted. */
DECLARE
    v_first uuid;
    v_run_at timestamptz;
    v_state text := 'ready';
BEGIN
    SELECT queued.id, queued.next_attempt_at INTO v_first, v_run_at
    FROM public.communication_recipients AS queued
    WHERE queued.organization_id = p_batch.organization_id
        AND queued.communication_created_at = p_batch.communication_created_at
        AND queued.id BETWEEN p_batch.first_recipient_id AND p_batch.last_recipient_id
        AND queued.status = 'queued'
    ORDER BY queued.id
    LIMIT 1;
    IF v_first IS NULL THEN
        DELETE FROM public.communication_batch_queue AS done
        WHERE done.organization_id = p_batch.organization_id AND done.batch_id = p_batch.batch_id;
        RETURN 'deleted';
    END IF;
    IF v_run_at > clock_timestamp() THEN
        SELECT min(coalesce(queued.next_attempt_at, '-infinity')) INTO v_run_at
        FROM public.communication_recipients AS queued
        WHERE queued.organization_id = p_batch.organization_id
            AND queued.communication_created_at = p_batch.communication_created_at
            AND queued.id BETWEEN v_first AND p_batch.last_recipient_id
            AND queued.status = 'queued';
    END IF;
    IF v_run_at > clock_timestamp() THEN
        v_state := 'scheduled';
    END IF;
    UPDATE public.communication_batch_queue AS rest
    SET state = v_state,
        run_at = greatest(v_run_at, p_batch.run_at),
        fair_rank = greatest(
            p_batch.fair_rank + p_served,
            pg_sequence_last_value(format('internal.queue_front_%s', p_batch.channel)::regclass)
        ),
        first_recipient_id = v_first,
        lease_token = NULL, leased_by = NULL, leased_at = NULL, handed_out = NULL, lease_until = NULL,
        attempts = p_batch.attempts, last_error = p_batch.last_error
    WHERE rest.organization_id = p_batch.organization_id AND rest.batch_id = p_batch.batch_id;
    RETURN v_state;
END
$plpgsql$;

COMMENT ON FUNCTION internal.settle_batch(public.communication_batch_queue, integer) IS
'End the lease of a chunk: ready again, scheduled, or deleted when nobody in it is queued any more.';
REVOKE ALL ON FUNCTION internal.settle_batch(public.communication_batch_queue, integer) FROM PUBLIC;
