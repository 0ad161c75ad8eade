SET LOCAL ROLE comms_maintenance; -- a worker serves every tenant
CREATE OR REPLACE FUNCTION public.complete_batch(
    p_organization_id uuid, p_batch_id text, p_lease_token uuid, p_results jsonb
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* Answer for a leased chunk and end the lease. p_results is an array with an object for each recipient: recipient_id,
   outcome, and with
     sent: provider, and provider_message_id if the provider has a name for it;
     temporary: error_code, error_message: queued again after internal.retry_delay(), at last a dead letter;
     permanent: error_code, error_message: failed;
     unknown: error_code, error_message: may have been sent, is not sent again by itself;
     not_attempted: queued again at once, as if it had not been handed out.
   A recipient without a result is unknown. One that an event has already moved on keeps the higher state.
   Returns what became of the chunk: ready, scheduled (some are to be sent later) or deleted (nobody is left).
   Raises GC361 if the lease is not held (any more): nothing is changed, tell what you know with
   record_delivery_events(); GC362 if p_results is not usable or names a recipient twice or one that was not
   handed out under this lease. */
DECLARE
    v_batch public.communication_batch_queue;
    v_now timestamptz := clock_timestamp();
    v_given integer;
    v_done uuid[];
    v_exhausted uuid[];
BEGIN
    SELECT mine.* INTO v_batch
    FROM public.communication_batch_queue AS mine
    WHERE mine.organization_id = p_organization_id AND mine.batch_id = p_batch_id
        AND mine.lease_token = p_lease_token
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease of batch "%" is not held with this token', p_batch_id
        USING ERRCODE = 'GC361',
            HINT = 'It ended and its messages are unknown; record_delivery_events() takes what is known of them.';
    END IF;
    IF jsonb_typeof(p_results) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'the results of batch "%" are no array: %', p_batch_id, left(p_results::text, 100)
        USING ERRCODE = 'GC362', HINT = 'Give an array of objects with recipient_id and outcome.';
    END IF;
    -- Everything that may change is locked once, in the order of the key, as everybody does it: who waits for whom is
    -- never a circle. That is the results; if some are missing, all that was handed out.
    IF jsonb_array_length(p_results) <> v_batch.handed_out THEN
        PERFORM internal.lock_chunk(v_batch, false);
    END IF;
    WITH result AS MATERIALIZED (
        SELECT parsed.*
        FROM (SELECT * FROM internal.batch_results(p_results) AS one ORDER BY one.recipient_id) AS parsed
        LEFT JOIN LATERAL (
            SELECT FROM public.communication_recipients AS mine
            WHERE mine.organization_id = p_organization_id AND mine.id = parsed.recipient_id
                AND mine.communication_created_at = v_batch.communication_created_at
                AND mine.sending_at = v_batch.leased_at
            FOR NO KEY UPDATE
        ) AS locked ON true
    ), moved AS (
        UPDATE public.communication_recipients AS recipient
        SET status = result.status,
            attempts = recipient.attempts - (result.outcome = 'not_attempted')::integer,
            next_attempt_at = CASE result.outcome
                WHEN 'temporary' THEN v_now + internal.retry_delay(recipient.attempts)
            END,
            sending_at = CASE WHEN result.status <> 'queued' THEN recipient.sending_at END,
            sent_at = CASE result.status WHEN 'sent' THEN v_now END,
            failed_at = CASE result.status WHEN 'failed' THEN v_now END,
            unknown_at = CASE result.status WHEN 'unknown' THEN v_now END,
            provider = coalesce(result.provider, recipient.provider),
            provider_message_id = coalesce(result.provider_message_id, recipient.provider_message_id),
            error_code = result.error_code,
            error_message = result.error_message
        FROM result
        WHERE recipient.organization_id = p_organization_id AND recipient.id = result.recipient_id
            AND recipient.communication_created_at = v_batch.communication_created_at
            -- A plan for everybody is for organizations of average size: it may read one whole but for this.
            AND recipient.id BETWEEN
            (SELECT result.recipient_id FROM result ORDER BY result.recipient_id LIMIT 1)
            AND (SELECT result.recipient_id FROM result ORDER BY result.recipient_id DESC NULLS LAST LIMIT 1)
            AND recipient.status = 'sending' AND recipient.sending_at = v_batch.leased_at
        RETURNING recipient.id, recipient.status, result.outcome, recipient.next_attempt_at,
            result.provider, result.provider_message_id
    ), named AS (
        INSERT INTO internal.provider_messages (organization_id, provider, provider_message_id, recipient_id)
        SELECT p_organization_id, moved.provider, moved.provider_message_id, moved.id
        FROM moved
        WHERE moved.provider_message_id IS NOT NULL AND moved.provider IS NOT NULL
        ORDER BY moved.provider, moved.provider_message_id
        ON CONFLICT DO NOTHING
    ), counted AS (
        INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
        SELECT p_organization_id, v_batch.communication_id, change.status, change.delta
        FROM (
            SELECT moved.status, count(*) AS delta FROM moved GROUP BY moved.status
            UNION ALL
            SELECT 'sending', -count(*) FROM moved HAVING count(*) > 0
        ) AS change
    )
    SELECT
        (SELECT count(*) FROM result), array_agg(moved.id),
        array_agg(moved.id) FILTER (WHERE moved.outcome = 'temporary' AND moved.next_attempt_at IS NULL)
    INTO v_given, v_done, v_exhausted
    FROM moved;
    IF v_batch.handed_out <> v_given OR v_given <> coalesce(cardinality(v_done), 0) THEN
        PERFORM internal.complete_late(v_batch, p_results, coalesce(v_done, '{}'));
    END IF;
    IF v_exhausted IS NOT NULL THEN
        PERFORM internal.bury_recipients(v_batch, 'attempts_exhausted', NULL, v_exhausted);
    END IF;
    IF EXISTS (
        SELECT FROM internal.unmatched_delivery_events AS waiting
        WHERE waiting.claimed_organization = p_organization_id
    ) THEN
        PERFORM internal.match_delivery_events(
            p_organization_id,
            (SELECT array_agg(result.recipient_id) FROM internal.batch_results(p_results) AS result)
        );
    END IF;
    RETURN internal.settle_batch(v_batch, v_batch.handed_out);
END
$plpgsql$;

COMMENT ON FUNCTION public.complete_batch(uuid, text, uuid, jsonb) IS
'Answer for a leased chunk: what became of each recipient. Ends the lease; refused (GC361) after it was lost.';
REVOKE ALL ON FUNCTION public.complete_batch(uuid, text, uuid, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.complete_batch(uuid, text, uuid, jsonb) TO comms_worker;
