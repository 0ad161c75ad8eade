SET LOCAL ROLE comms_maintenance; -- a worker serves every tenant
CREATE OR REPLACE FUNCTION public.fail_batch(
    p_organization_id uuid, p_batch_id text, p_lease_token uuid, p_reason text, p_retry boolean DEFAULT true
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* Give a leased chunk back of which nothing was sent. With p_retry it is tried again after internal.retry_delay(),
   max_attempts times; without, or after those, everybody in it who is queued becomes a dead letter.
   Returns scheduled, or dead. Raises GC300 without a reason or p_retry, GC361 if the lease is not held (any more). */
DECLARE
    v_batch public.communication_batch_queue;
    v_again boolean;
BEGIN
    IF p_reason IS NULL OR p_retry IS NULL THEN
        RAISE EXCEPTION '% is missing', CASE WHEN p_reason IS NULL THEN 'p_reason' ELSE 'p_retry' END
        USING ERRCODE = 'GC300', HINT = 'Say why the chunk failed, and whether it is worth another attempt.';
    END IF;
    SELECT mine.* INTO v_batch
    FROM public.communication_batch_queue AS mine
    WHERE mine.organization_id = p_organization_id AND mine.batch_id = p_batch_id
        AND mine.lease_token = p_lease_token
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease of batch "%" is not held with this token', p_batch_id
        USING ERRCODE = 'GC361', HINT = 'It ended and its messages are unknown.';
    END IF;
    v_batch.attempts := v_batch.attempts + 1;
    v_batch.last_error := left(p_reason, 4000);
    v_again := p_retry AND v_batch.attempts < v_batch.max_attempts;
    IF NOT v_again THEN
        PERFORM internal.lock_chunk(v_batch, true);
    END IF;
    WITH handed_out AS MATERIALIZED (
        SELECT sending.id
        FROM public.communication_recipients AS sending
        WHERE sending.organization_id = v_batch.organization_id
            AND sending.communication_created_at = v_batch.communication_created_at
            AND sending.id BETWEEN v_batch.first_recipient_id AND v_batch.last_recipient_id
            AND sending.status = 'sending' AND sending.sending_at = v_batch.leased_at
        ORDER BY sending.id
        FOR NO KEY UPDATE
    ), moved AS (
        UPDATE public.communication_recipients AS recipient
        SET status = 'queued', sending_at = NULL, attempts = recipient.attempts - 1
        FROM handed_out
        WHERE recipient.organization_id = v_batch.organization_id AND recipient.id = handed_out.id
            AND recipient.communication_created_at = v_batch.communication_created_at
            AND recipient.id BETWEEN v_batch.first_recipient_id AND v_batch.last_recipient_id
        RETURNING recipient.id
    )
    INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
    SELECT v_batch.organization_id, v_batch.communication_id, change.status, change.delta
    FROM (SELECT count(*) AS moved FROM moved) AS back
    CROSS JOIN LATERAL (VALUES ('sending', -back.moved), ('queued', back.moved)) AS change (status, delta)
    WHERE back.moved > 0;
    IF v_again THEN
        UPDATE public.communication_batch_queue AS chunk
        SET state = 'scheduled', run_at = clock_timestamp() + internal.retry_delay(least(v_batch.attempts, 9)),
            attempts = v_batch.attempts, last_error = v_batch.last_error,
            lease_token = NULL, leased_by = NULL, leased_at = NULL, handed_out = NULL, lease_until = NULL
        WHERE chunk.organization_id = p_organization_id AND chunk.batch_id = p_batch_id;
        RETURN 'scheduled';
    END IF;
    PERFORM internal.bury_recipients(
        v_batch, CASE WHEN p_retry THEN 'attempts_exhausted' ELSE 'rejected' END, v_batch.last_error
    );
    PERFORM internal.settle_batch(v_batch, 0);
    RETURN 'dead';
END
$plpgsql$;

COMMENT ON FUNCTION public.fail_batch(uuid, text, uuid, text, boolean) IS
'Give a leased chunk back of which nothing was sent: to be tried again later, or as a dead letter.';
REVOKE ALL ON FUNCTION public.fail_batch(uuid, text, uuid, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.fail_batch(uuid, text, uuid, text, boolean) TO comms_worker;
