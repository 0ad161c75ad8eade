CREATE OR REPLACE FUNCTION public.render_batch(p_organization_id uuid, p_batch_id text, p_lease_token uuid)
RETURNS TABLE (
    recipient_id uuid, channel text, recipient_name text, address text, subject text, body text, body_text text,
    sender_name text, sender_address text, reply_to text, unsubscribe_url text, list_unsubscribe text,
    list_unsubscribe_post text, problem_code text, problem text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* The messages that a worker is to send now: one row for every recipient that was handed out with the
   lease of a batch. recipient_id is the idempotency key for the provider. A recipient whose message
   cannot be written has problem_code and problem (GC331 to GC334) instead of texts.
   list_unsubscribe and list_unsubscribe_post are headers of e-mails (RFC 8058).
   Raises GC300 for NULL, GC361 if the batch is not leased with this token (any more). */
DECLARE
    v_batch public.communication_batch_queue;
    v_message public.guest_communications;
    v_organization_name text;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    IF p_batch_id IS NULL OR p_lease_token IS NULL THEN
        RAISE EXCEPTION 'p_% is NULL', CASE WHEN p_batch_id IS NULL THEN 'batch_id' ELSE 'lease_token' END
        USING ERRCODE = 'GC300', HINT = 'Give what claim_batches() returned.';
    END IF;
    SELECT leased.* INTO v_batch
    FROM public.communication_batch_queue AS leased
    WHERE
        leased.organization_id = p_organization_id AND leased.batch_id = p_batch_id
        AND leased.lease_token = p_lease_token AND leased.lease_until > clock_timestamp();
    IF v_batch.batch_id IS NULL THEN
        RAISE EXCEPTION 'the lease of batch "%" is not held with this token', left(p_batch_id, 200)
        USING ERRCODE = 'GC361', HINT = 'Another worker has it, or it is done: claim the next one.';
    END IF;
    SELECT message.* INTO STRICT v_message
    FROM public.guest_communications AS message
    WHERE
        message.organization_id = p_organization_id AND message.id = v_batch.communication_id
        AND message.created_at = v_batch.communication_created_at;
    SELECT organization.name INTO STRICT v_organization_name
    FROM public.organizations AS organization WHERE organization.organization_id = p_organization_id;

    RETURN QUERY
    WITH sending AS MATERIALIZED (
        SELECT recipient.*
        FROM public.communication_recipients AS recipient
        WHERE
            recipient.organization_id = p_organization_id
            AND recipient.communication_created_at = v_batch.communication_created_at
            AND recipient.id BETWEEN v_batch.first_recipient_id AND v_batch.last_recipient_id
            AND recipient.status = 'sending' AND recipient.sending_at = v_batch.leased_at
    ),

    keys AS MATERIALIZED (
        SELECT versions.key_version, internal.field_key_of(p_organization_id, versions.key_version) AS key
        FROM (
            SELECT DISTINCT sending.personalisation_key_version AS key_version
            FROM sending WHERE sending.personalisation IS NOT NULL
        ) AS versions
    ),

    prepared AS MATERIALIZED (
        SELECT
            sending.id, sending.channel, sending.recipient_name, sending.recipient_email,
            CASE sending.channel
                WHEN 'email' THEN sending.recipient_email
                WHEN 'sms' THEN sending.recipient_phone
                WHEN 'push' THEN sending.recipient_device
            END AS address,
            v_message.unsubscribe_url || internal.unsubscribe_token(
                pads.inner_pad, pads.outer_pad, p_organization_id, sending.id
            ) AS unsubscribe_url,
            coalesce(
                convert_from(
                    internal.aes256_gcm_decrypt(
                        keys.key, sending.personalisation,
                        internal.field_context(
                            p_organization_id, 'communication_recipients.personalisation', sending.id,
                            sending.personalisation_key_version
                        )
                    ), 'UTF8'
                )::jsonb, '{}'::jsonb
            ) AS variables
        FROM sending
        CROSS JOIN (SELECT * FROM internal.hash_pads(p_organization_id, 'unsubscribe_tokens') OFFSET 0) AS pads
        LEFT JOIN keys ON sending.personalisation_key_version = keys.key_version
    )

    SELECT
        prepared.id, prepared.channel, prepared.recipient_name, prepared.address,
        rendered.subject, rendered.body, rendered.body_text,
        v_message.sender_name, v_message.sender_address, v_message.reply_to, prepared.unsubscribe_url,
        CASE prepared.channel WHEN 'email' THEN '<' || prepared.unsubscribe_url || '>' END,
        CASE WHEN prepared.channel = 'email' AND prepared.unsubscribe_url IS NOT NULL
            THEN 'List-Unsubscribe=One-Click' END,
        rendered.problem_code, rendered.problem
    FROM prepared
    CROSS JOIN LATERAL internal.render_message(
        prepared.channel, v_message.compiled,
        -- What a recipient was given does not replace what is true of the message.
        prepared.variables || jsonb_build_object(
            'guest_name', prepared.recipient_name, 'organization_name', v_organization_name,
            'recipient_email', prepared.recipient_email, 'unsubscribe_url', prepared.unsubscribe_url,
            'communication_title', v_message.message_title
        )
    ) AS rendered
    ORDER BY prepared.id;
END
$plpgsql$;

COMMENT ON FUNCTION public.render_batch(uuid, text, uuid) IS
'The messages of a leased batch as they are to be sent, one row a recipient.';
REVOKE ALL ON FUNCTION public.render_batch(uuid, text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.render_batch(uuid, text, uuid) TO comms_worker;
