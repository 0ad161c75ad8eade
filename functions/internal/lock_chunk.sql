SET LOCAL ROLE comms_maintenance; -- a worker serves every tenant
CREATE OR REPLACE FUNCTION internal.lock_chunk(p_batch public.communication_batch_queue, p_queued boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* Lock what was handed out under the lease of a chunk, and with p_queued who is queued in it, in the order of the key.
   For callers that change them in several steps: each step by itself keeps the order, one after the other does not. */
BEGIN
    PERFORM
    FROM public.communication_recipients AS mine
    WHERE mine.organization_id = p_batch.organization_id
        AND mine.communication_created_at = p_batch.communication_created_at
        AND mine.id BETWEEN p_batch.first_recipient_id AND p_batch.last_recipient_id
        AND (mine.sending_at = p_batch.leased_at OR (p_queued AND mine.status = 'queued'))
    ORDER BY mine.id
    FOR NO KEY UPDATE;
END
$plpgsql$;

COMMENT ON FUNCTION internal.lock_chunk(public.communication_batch_queue, boolean) IS
'Lock the recipients of a chunk that its caller may change, in the order of the key.';
REVOKE ALL ON FUNCTION internal.lock_chunk(public.communication_batch_queue, boolean) FROM PUBLIC;
