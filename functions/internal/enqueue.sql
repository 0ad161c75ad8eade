CREATE OR REPLACE FUNCTION internal.enqueue(
    p_communication public.guest_communications, p_recipient_keys uuid[], p_guest_ids uuid[], p_names text[],
    p_addresses text[], p_address_hashes bytea[], p_personalisations text[],
    OUT accepted bigint, OUT suppressed jsonb, OUT chunks bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
-- The recipients of one call stay in memory.
SET work_mem = '64MB'
-- Each recipient's communication is looked up by its foreign key, in a partitioned table: kept, not planned anew.
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* Add recipients, in the order of their keys and new to the communication, which the caller has locked. All gates are
   asked: whoever may not be written to is kept as suppressed with the reason, the others are queued in chunks of up
   to 1000. Their ids have the moment of the communication and then count on, so that a chunk is a range of ids.
   Returns how many were accepted, the others by reason, and the number of chunks. */
DECLARE
    -- Of a UUIDv7 all but the number: 48 bits of time, the version, 50 random bits with the variant.
    v_prefix CONSTANT text := left(replace(p_communication.id::text, '-', ''), 12) || '7'
        || substr(replace(gen_random_uuid()::text, '-', ''), 14, 13);
    v_rank CONSTANT bigint := internal.fair_rank(p_communication.organization_id, p_communication.message_type);
    v_run_at CONSTANT timestamptz := greatest(p_communication.scheduled_for, now());
    v_gates CONSTANT record := internal.ask_gates(p_communication, p_guest_ids, p_address_hashes);
    v_key bytea;
    v_key_version integer;
BEGIN
    IF p_personalisations IS NOT NULL THEN
        SELECT active.key, active.key_version INTO v_key, v_key_version
        FROM internal.field_key(p_communication.organization_id) AS active;
    END IF;
    WITH added AS (
        INSERT INTO public.communication_recipients AS recipient (
            organization_id, id, communication_id, communication_created_at, guest_id, recipient_key, channel,
            recipient_name, recipient_email, recipient_phone, recipient_device, address_hash,
            personalisation, personalisation_key_version,
            status, suppressed_at, suppression_reason, lawful_basis, consent_event_id, permitted_at
        )
        SELECT
            p_communication.organization_id, new.id, p_communication.id, p_communication.created_at,
            wanted.guest_id, wanted.recipient_key, p_communication.message_type, wanted.name,
            CASE p_communication.message_type WHEN 'email' THEN wanted.address END,
            CASE p_communication.message_type WHEN 'sms' THEN wanted.address END,
            CASE p_communication.message_type WHEN 'push' THEN wanted.address END,
            wanted.address_hash,
            CASE WHEN new.is_secret THEN internal.aes256_gcm_encrypt(
                v_key, convert_to(wanted.personalisation, 'UTF8'), internal.field_context(
                    p_communication.organization_id, 'communication_recipients.personalisation', new.id, v_key_version
                )
            ) END,
            CASE WHEN new.is_secret THEN v_key_version END,
            CASE WHEN wanted.reason IS NULL THEN 'queued' ELSE 'suppressed' END,
            CASE WHEN wanted.reason IS NOT NULL THEN now() END,
            wanted.reason, p_communication.lawful_basis, wanted.consent_event_id, now()
        FROM unnest(
            p_recipient_keys, p_guest_ids, p_names, p_addresses, p_address_hashes, p_personalisations,
            v_gates.reasons, v_gates.consent_event_ids
        ) WITH ORDINALITY AS wanted (
            recipient_key, guest_id, name, address, address_hash, personalisation, reason, consent_event_id, number
        )
        CROSS JOIN LATERAL (
            SELECT
                (v_prefix || lpad(to_hex(wanted.number), 6, '0'))::uuid AS id,
                wanted.reason IS NULL AND wanted.personalisation IS NOT NULL AS is_secret
        ) AS new
        ORDER BY wanted.number
        RETURNING recipient.id, recipient.suppression_reason
    ),

    chunk AS (
        SELECT
            min(queued.id::text)::uuid AS first_id,
            max(queued.id::text)::uuid AS last_id,
            count(*) AS recipients,
            sum(count(*)) OVER (ORDER BY queued.number / 1000) AS recipients_so_far
        FROM (
            SELECT added.id, row_number() OVER (ORDER BY added.id) - 1 AS number
            FROM added WHERE added.suppression_reason IS NULL
        ) AS queued
        GROUP BY queued.number / 1000
    ),

    enqueued AS (
        INSERT INTO public.communication_batch_queue AS queue (
            organization_id, batch_id, operation_type, channel, priority, state, run_at, fair_rank,
            communication_id, communication_created_at, first_recipient_id, last_recipient_id, recipients
        )
        SELECT
            p_communication.organization_id, chunk.first_id::text, 'send', p_communication.message_type,
            p_communication.priority,
            CASE WHEN v_run_at > now() THEN 'scheduled' ELSE 'ready' END, v_run_at,
            v_rank + chunk.recipients_so_far, p_communication.id, p_communication.created_at,
            chunk.first_id, chunk.last_id, chunk.recipients
        FROM chunk
        RETURNING queue.batch_id
    ),

    counted AS (
        SELECT added.suppression_reason AS reason, count(*) AS recipients FROM added GROUP BY added.suppression_reason
    ),

    summed AS (
        INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
        SELECT p_communication.organization_id, p_communication.id, change.status, change.delta
        FROM (
            SELECT
                CASE
                    WHEN grouping(counted.reason IS NULL) = 1 THEN 'total'
                    WHEN counted.reason IS NULL THEN 'queued'
                    ELSE 'suppressed'
                END AS status,
                sum(counted.recipients) AS delta
            FROM counted GROUP BY GROUPING SETS ((counted.reason IS NULL), ())
        ) AS change
        WHERE change.delta > 0
    )

    SELECT
        coalesce(sum(counted.recipients) FILTER (WHERE counted.reason IS NULL), 0),
        coalesce(jsonb_object_agg(counted.reason, counted.recipients) FILTER (WHERE counted.reason IS NOT NULL), '{}'),
        (SELECT count(*) FROM enqueued)
    INTO accepted, suppressed, chunks
    FROM counted;
END
$plpgsql$;

COMMENT ON FUNCTION internal.enqueue(
    public.guest_communications, uuid[], uuid[], text[], text[], bytea[], text[]
) IS 'Add recipients to a communication: gates, suppressed ones as evidence, chunks in the queue, counters.';
REVOKE ALL ON FUNCTION internal.enqueue(
    public.guest_communications, uuid[], uuid[], text[], text[], bytea[], text[]
) FROM PUBLIC;
