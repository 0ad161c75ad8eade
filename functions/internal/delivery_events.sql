CREATE OR REPLACE FUNCTION internal.delivery_events(p_events jsonb) RETURNS TABLE (
    item bigint, provider text, provider_event_id text, event_key uuid, recipient_id uuid, provider_message_id text,
    status text, occurred_at timestamptz, error_code text, error_message text, flaw text
)
LANGUAGE sql STABLE ROWS 100
/* The events given to record_delivery_events(), a row for each, with what is wrong with it or NULL. Texts that are too
   long are cut where they are only read. Becomes a part of the query. */
BEGIN ATOMIC
    SELECT
        given.item,
        event.provider,
        event.provider_event_id,
        md5(event.provider || ' ' || event.provider_event_id)::uuid,
        typed.recipient_id,
        event.provider_message_id,
        event.status,
        typed.occurred_at,
        left(given.event ->> 'error_code', 100),
        left(given.event ->> 'error_message', 1000),
        CASE
            WHEN coalesce(length(event.provider), 0) NOT BETWEEN 1 AND 100 THEN 'provider'
            WHEN coalesce(length(event.provider_event_id), 0) NOT BETWEEN 1 AND 500 THEN 'provider_event_id'
            WHEN
                event.status IS NULL
                OR event.status <> ALL(
                    '{sent,deferred,delivered,opened,clicked,failed,bounced,unsubscribed,complained}'
                )
                THEN 'status'
            WHEN
                typed.occurred_at IS NULL
                OR typed.occurred_at NOT BETWEEN '2000-01-01 UTC' AND clock_timestamp() + interval '1 day'
                THEN 'occurred_at'
            WHEN typed.recipient_id IS NULL AND given.event ->> 'recipient_id' IS NOT NULL THEN 'recipient_id'
            WHEN typed.recipient_id IS NULL AND event.provider_message_id IS NULL THEN 'recipient_id'
            WHEN length(event.provider_message_id) > 500 THEN 'provider_message_id'
        END
    FROM jsonb_array_elements(p_events) WITH ORDINALITY AS given (event, item)
    CROSS JOIN
        LATERAL (
            SELECT
                given.event ->> 'provider' AS provider,
                given.event ->> 'provider_event_id' AS provider_event_id,
                given.event ->> 'provider_message_id' AS provider_message_id,
                given.event ->> 'status' AS status
        ) AS event
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN pg_input_is_valid(given.event ->> 'recipient_id', 'uuid')
                    THEN (given.event ->> 'recipient_id')::uuid
            END AS recipient_id,
            CASE
                WHEN pg_input_is_valid(given.event ->> 'occurred_at', 'timestamptz')
                    THEN (given.event ->> 'occurred_at')::timestamptz
            END AS occurred_at
    ) AS typed;
END;

COMMENT ON FUNCTION internal.delivery_events(jsonb) IS
'The events given to record_delivery_events(), a row for each, with what is wrong with it.';
REVOKE ALL ON FUNCTION internal.delivery_events(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.delivery_events(jsonb) TO comms_maintenance;
