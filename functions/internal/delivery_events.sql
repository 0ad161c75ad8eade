CREATE OR REPLACE FUNCTION internal.delivery_events(p_events jsonb) RETURNS TABLE (
    item bigint, provider text, provider_event_id text, event_key uuid, recipient_id uuid, provider_message_id text,
    status text, occurred_at timestamptz, error_code text, error_message text, flaw text
)
LANGUAGE sql STABLE ROWS 100
/* The events given to record_delivery_events(), a row for each, with what is wrong with it or NULL. Texts that are too
   long are cut where they are only read. Becomes a part of the query. */
BEGIN ATOMIC
    SELECT
        event.item,
        event.provider,
        event.provider_event_id,
        md5(event.provider || ' ' || event.provider_event_id)::uuid,
        event.recipient_id,
        event.provider_message_id,
        event.status,
        event.occurred_at,
        left(event.error_code, 100),
        left(event.error_message, 1000),
        CASE
            WHEN coalesce(length(event.provider), 0) NOT BETWEEN 1 AND 100 THEN 'provider'
            WHEN coalesce(length(event.provider_event_id), 0) NOT BETWEEN 1 AND 500 THEN 'provider_event_id'
            WHEN
                coalesce(
                    event.status NOT IN (
                        'sent', 'deferred', 'delivered', 'opened', 'clicked', 'failed', 'bounced', 'unsubscribed',
                        'complained'
                    ), true
                )
                THEN 'status'
            WHEN
                coalesce(
                    event.occurred_at NOT BETWEEN '2000-01-01 UTC' AND clock_timestamp() + interval '1 day', true
                )
                THEN 'occurred_at'
            WHEN event.recipient_id IS NULL AND (event.named_recipient OR event.provider_message_id IS NULL)
                THEN 'recipient_id'
            WHEN length(event.provider_message_id) > 500 THEN 'provider_message_id'
        END
    FROM (
        SELECT
            raw.item,
            raw.provider,
            raw.provider_event_id,
            raw.provider_message_id,
            raw.status,
            raw.error_code,
            raw.error_message,
            raw.recipient_id IS NOT NULL AS named_recipient,
            CASE WHEN pg_input_is_valid(raw.recipient_id, 'uuid') THEN raw.recipient_id::uuid END AS recipient_id,
            CASE
                WHEN pg_input_is_valid(raw.occurred_at, 'timestamptz') THEN raw.occurred_at::timestamptz
            END AS occurred_at
        FROM (
            SELECT
                given.item,
                given.event ->> 'provider' AS provider,
                given.event ->> 'provider_event_id' AS provider_event_id,
                given.event ->> 'provider_message_id' AS provider_message_id,
                given.event ->> 'recipient_id' AS recipient_id,
                given.event ->> 'status' AS status,
                given.event ->> 'occurred_at' AS occurred_at,
                given.event ->> 'error_code' AS error_code,
                given.event ->> 'error_message' AS error_message
            FROM jsonb_array_elements(p_events) WITH ORDINALITY AS given (event, item)
            OFFSET 0 -- once for each event, not wherever one is mentioned
        ) AS raw
        OFFSET 0
    ) AS event;
END;

COMMENT ON FUNCTION internal.delivery_events(jsonb) IS
'The events given to record_delivery_events(), a row for each, with what is wrong with it.';
REVOKE ALL ON FUNCTION internal.delivery_events(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.delivery_events(jsonb) TO comms_maintenance;
