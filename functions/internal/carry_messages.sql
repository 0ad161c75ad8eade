SET LOCAL ROLE comms_maintenance; -- it concerns every tenant
CREATE OR REPLACE FUNCTION internal.carry_messages(p_facts jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* For apply_protective_facts(): messages that were handed to a worker, and what became of them: none of them is queued any
   more. What was still in hand may have been sent: it is unknown. A message of which more is known here stays as it is.
   Those to communications made after the target are new here, with the guest if there is one. Returns how many changed
   or are new. */
DECLARE
    v_changed bigint;
BEGIN
    WITH fact AS MATERIALIZED (
        SELECT
            given.*, CASE given.status WHEN 'sending' THEN 'unknown' ELSE given.status END AS fate,
            CASE given.status
                WHEN 'sending' THEN 'it was in the hands of a worker when the cluster was restored'
                ELSE given.error_message
            END AS complaint
        FROM jsonb_populate_recordset(NULL::public.communication_recipients, p_facts) AS given
        JOIN public.guest_communications AS message
            ON message.organization_id = given.organization_id AND message.id = given.communication_id
                AND message.created_at = given.communication_created_at
    ),
    known AS MATERIALIZED (
        SELECT
            recipient.organization_id, recipient.id, recipient.communication_created_at,
            recipient.status AS earlier_status, compared.is_behind
        FROM public.communication_recipients AS recipient
        JOIN fact
            ON recipient.organization_id = fact.organization_id AND recipient.id = fact.id
                AND recipient.communication_created_at = fact.communication_created_at
        CROSS JOIN LATERAL (
            SELECT
                internal.status_rank(fact.fate) > internal.status_rank(recipient.status)
                OR coalesce(fact.sending_at > recipient.sending_at, false)
        ) AS compared (is_behind)
        WHERE
            compared.is_behind
            OR fact.unsubscribed_at IS NOT NULL AND recipient.unsubscribed_at IS NULL
        ORDER BY recipient.organization_id, recipient.id
        FOR NO KEY UPDATE OF recipient
    ),
    moved AS (
        UPDATE public.communication_recipients AS recipient
        SET
            status = CASE WHEN known.is_behind THEN fact.fate ELSE recipient.status END,
            attempts = greatest(fact.attempts, recipient.attempts),
            next_attempt_at = NULL,
            sending_at = greatest(fact.sending_at, recipient.sending_at),
            unknown_at = coalesce(
                fact.unknown_at, recipient.unknown_at, CASE fact.status WHEN 'sending' THEN clock_timestamp() END
            ),
            sent_at = coalesce(fact.sent_at, recipient.sent_at),
            deferred_at = coalesce(fact.deferred_at, recipient.deferred_at),
            delivered_at = coalesce(fact.delivered_at, recipient.delivered_at),
            opened_at = coalesce(fact.opened_at, recipient.opened_at),
            clicked_at = coalesce(fact.clicked_at, recipient.clicked_at),
            failed_at = coalesce(fact.failed_at, recipient.failed_at),
            bounced_at = coalesce(fact.bounced_at, recipient.bounced_at),
            unsubscribed_at = coalesce(fact.unsubscribed_at, recipient.unsubscribed_at),
            complained_at = coalesce(fact.complained_at, recipient.complained_at),
            provider = coalesce(fact.provider, recipient.provider),
            provider_message_id = coalesce(fact.provider_message_id, recipient.provider_message_id),
            error_code = CASE fact.status WHEN 'sending' THEN 'cluster_restored' ELSE fact.error_code END,
            error_message = fact.complaint,
            consent_event_id = coalesce(fact.consent_event_id, recipient.consent_event_id),
            permitted_at = greatest(fact.permitted_at, recipient.permitted_at)
        FROM fact
        JOIN known
            ON known.organization_id = fact.organization_id AND known.id = fact.id
                AND known.communication_created_at = fact.communication_created_at
        WHERE
            recipient.organization_id = fact.organization_id AND recipient.id = fact.id
            AND recipient.communication_created_at = fact.communication_created_at
        RETURNING
            recipient.organization_id, recipient.communication_id, recipient.id, recipient.status, known.earlier_status,
            recipient.provider, recipient.provider_message_id
    ),
    added AS (
        INSERT INTO public.communication_recipients (
            organization_id, id, communication_id, communication_created_at, guest_id, recipient_key, channel,
            recipient_name, recipient_email, recipient_phone, recipient_device, address_hash, status, attempts,
            sending_at, unknown_at, sent_at, deferred_at, delivered_at, opened_at, clicked_at, failed_at, bounced_at,
            unsubscribed_at, complained_at, provider, provider_message_id, error_code, error_message, lawful_basis,
            consent_event_id, permitted_at, created_at
        )
        SELECT
            fact.organization_id, fact.id, fact.communication_id, fact.communication_created_at, guest.guest_id,
            fact.recipient_key, fact.channel, fact.recipient_name, fact.recipient_email, fact.recipient_phone,
            fact.recipient_device, fact.address_hash, fact.fate, fact.attempts, fact.sending_at,
            CASE fact.status WHEN 'sending' THEN clock_timestamp() ELSE fact.unknown_at END, fact.sent_at,
            fact.deferred_at, fact.delivered_at, fact.opened_at, fact.clicked_at, fact.failed_at, fact.bounced_at,
            fact.unsubscribed_at, fact.complained_at, fact.provider, fact.provider_message_id,
            CASE fact.status WHEN 'sending' THEN 'cluster_restored' ELSE fact.error_code END, fact.complaint,
            fact.lawful_basis, fact.consent_event_id, fact.permitted_at, fact.created_at
        FROM fact
        LEFT JOIN public.guests AS guest
            ON guest.organization_id = fact.organization_id AND guest.guest_id = fact.guest_id
        ORDER BY fact.organization_id, fact.id
        ON CONFLICT DO NOTHING
        RETURNING organization_id, communication_id, id, status, provider, provider_message_id
    ),
    named AS (
        INSERT INTO internal.provider_messages (organization_id, provider, provider_message_id, recipient_id)
        SELECT carried.organization_id, carried.provider, carried.provider_message_id, carried.id
        FROM (
            SELECT organization_id, provider, provider_message_id, id FROM moved
            UNION ALL
            SELECT organization_id, provider, provider_message_id, id FROM added
        ) AS carried
        WHERE carried.provider IS NOT NULL AND carried.provider_message_id IS NOT NULL
        ORDER BY carried.organization_id, carried.provider, carried.provider_message_id
        ON CONFLICT DO NOTHING
    ),
    counted AS (
        INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
        SELECT change.organization_id, change.communication_id, change.status, sum(change.delta)
        FROM (
            SELECT organization_id, communication_id, status, 1 AS delta FROM moved WHERE status <> earlier_status
            UNION ALL
            SELECT organization_id, communication_id, earlier_status, -1 FROM moved WHERE status <> earlier_status
            UNION ALL
            SELECT organization_id, communication_id, status, 1 FROM added
            UNION ALL
            SELECT organization_id, communication_id, 'total', 1 FROM added
        ) AS change
        GROUP BY change.organization_id, change.communication_id, change.status
        HAVING sum(change.delta) <> 0
    )
    SELECT (SELECT count(*) FROM moved) + (SELECT count(*) FROM added) INTO v_changed;
    RETURN v_changed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.carry_messages(jsonb) IS
'Facts for a restored database: messages that workers had in hand.';
REVOKE ALL ON FUNCTION internal.carry_messages(jsonb) FROM PUBLIC;
