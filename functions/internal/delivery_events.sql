CREATE OR REPLACE FUNCTION internal.delivery_events(p_events jsonb) RETURNS TABLE (
    item bigint, provider text, provider_event_id text, event_key uuid, recipient_id uuid, provider_message_id text,
    status text, occurred_at timestamptz, error_code text, error_message text, flaw text
)
LANGUAGE sql STABLE ROWS 100
/* The events given to record_delivery_events(), a row for each, with what is wrong with it or NULL. Texts that are too
   long are cut where they are only read. Becomes a part of the query.
   Raises an error of class 22 if one is no object, or has a recipient_id or occurred_at that cannot be read:
   internal.unreadable_event() finds it. */
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
            WHEN event.recipient_id IS NULL AND event.provider_message_id IS NULL THEN 'recipient_id'
            WHEN length(event.provider_message_id) > 500 THEN 'provider_message_id'
        END
    FROM ROWS FROM (
        jsonb_to_recordset(p_events) AS (
            provider text, provider_event_id text, provider_message_id text, recipient_id uuid, status text,
            occurred_at timestamptz, error_code text, error_message text
        )
    ) WITH ORDINALITY AS event (
        provider, provider_event_id, provider_message_id, recipient_id, status, occurred_at, error_code,
        error_message, item
    );
END;

COMMENT ON FUNCTION internal.delivery_events(jsonb) IS
'The events given to record_delivery_events(), a row for each, with what is wrong with it.';
REVOKE ALL ON FUNCTION internal.delivery_events(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.delivery_events(jsonb) TO comms_maintenance;
