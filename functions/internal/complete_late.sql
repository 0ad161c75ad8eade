SET LOCAL ROLE comms_maintenance; -- a worker serves every tenant
CREATE OR REPLACE FUNCTION internal.complete_late(
    p_batch public.communication_batch_queue, p_results jsonb, p_done uuid[]
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* What complete_batch() has left over when results and recipients do not meet one by one: recipients without a result
   become unknown, those that an event has moved on get the names of the provider and keep their state.
   p_done are those it has answered for. Raises GC362 if a result is of none of these. */
DECLARE
    v_late uuid[];
    v_given integer;
    v_wrong text;
BEGIN
    WITH result AS MATERIALIZED (
        SELECT * FROM internal.batch_results(p_results) AS parsed
        WHERE parsed.recipient_id <> ALL (p_done) ORDER BY parsed.recipient_id
    ), moved AS (
        UPDATE public.communication_recipients AS recipient
        SET sent_at = CASE
                WHEN result.status = 'sent' THEN least(recipient.sent_at, clock_timestamp()) ELSE recipient.sent_at
            END,
            provider = coalesce(recipient.provider, result.provider),
            provider_message_id = coalesce(recipient.provider_message_id, result.provider_message_id)
        FROM result
        WHERE recipient.organization_id = p_batch.organization_id AND recipient.id = result.recipient_id
            AND recipient.communication_created_at = p_batch.communication_created_at
            AND recipient.id BETWEEN p_batch.first_recipient_id AND p_batch.last_recipient_id
            AND recipient.sending_at = p_batch.leased_at
        RETURNING recipient.id, result.provider, result.provider_message_id
    ), named AS (
        INSERT INTO internal.provider_messages (organization_id, provider, provider_message_id, recipient_id)
        SELECT p_batch.organization_id, moved.provider, moved.provider_message_id, moved.id
        FROM moved
        WHERE moved.provider_message_id IS NOT NULL AND moved.provider IS NOT NULL
        ORDER BY moved.provider, moved.provider_message_id
        ON CONFLICT DO NOTHING
    )
    SELECT array_agg(moved.id) INTO v_late FROM moved;
    SELECT count(*), min(left(given.item::text, 200)) FILTER (
        WHERE NOT coalesce(given.item ->> 'recipient_id' = ANY ((p_done || v_late)::text[]), false)
    )
    INTO v_given, v_wrong
    FROM jsonb_array_elements(p_results) AS given (item);
    IF v_given <> cardinality(p_done || v_late) THEN
        RAISE EXCEPTION 'a result of batch "%" is twice there or not usable: %', p_batch.batch_id, v_wrong
        USING ERRCODE = 'GC362',
            HINT = 'Give each recipient that the claim handed out once, with an outcome; sent needs a provider.';
    END IF;
    PERFORM internal.mark_unknown(p_batch, 'no_result', format('%s gave no result', p_batch.leased_by));
END
$plpgsql$;

COMMENT ON FUNCTION internal.complete_late(public.communication_batch_queue, jsonb, uuid[]) IS
'What complete_batch() leaves over: recipients without a result, and results that an event has overtaken.';
REVOKE ALL ON FUNCTION internal.complete_late(public.communication_batch_queue, jsonb, uuid[]) FROM PUBLIC;
