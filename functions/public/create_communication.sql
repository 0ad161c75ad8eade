CREATE OR REPLACE FUNCTION public.create_communication(
    p_organization_id uuid, p_title text, p_channel text, p_purpose text,
    p_template_id uuid DEFAULT NULL,
    p_subject text DEFAULT NULL, p_body text DEFAULT NULL, p_body_text text DEFAULT NULL,
    p_category text DEFAULT 'transactional', p_lawful_basis text DEFAULT NULL,
    p_sender_name text DEFAULT NULL, p_sender_address text DEFAULT NULL, p_reply_to text DEFAULT NULL,
    p_postal_address text DEFAULT NULL, p_unsubscribe_url text DEFAULT NULL,
    p_scheduled_for timestamptz DEFAULT NULL, p_window_from time DEFAULT NULL, p_window_until time DEFAULT NULL,
    p_priority integer DEFAULT 5, p_idempotency_key text DEFAULT NULL
) RETURNS public.guest_communications
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Make a communication, a draft until bulk_send() gives it recipients; returns its row. Its texts are those of the
   published version of a template, or given here. Without p_lawful_basis a commercial message needs consent, a
   transactional one rests on the contract. A repeated call with the same key returns the same communication.
   Raises GC340 and GC341 for the key, GC343 for a value that cannot be (GC300 if it is missing), GC344 for a template
   that cannot be used, GC345 for a commercial message without what 15 USC 7704 demands, GC346 for a moment out of
   bounds, and what internal.compile_message() raises for texts that are no template. */
DECLARE
    v_before jsonb;
    v_made public.guest_communications;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    v_before := internal.begin_idempotent(
        p_organization_id, p_idempotency_key, 'create_communication',
        sha256(convert_to(jsonb_build_array(
            p_title, p_channel, p_purpose, p_template_id, p_subject, p_body, p_body_text, p_category, p_lawful_basis,
            p_sender_name, p_sender_address, p_reply_to, p_postal_address, p_unsubscribe_url, p_scheduled_for,
            p_window_from, p_window_until, p_priority
        )::text, 'UTF8'))
    );
    IF v_before IS NOT NULL THEN
        RETURN internal.communication(p_organization_id, (v_before ->> 'communication_id')::uuid);
    END IF;

    v_made.organization_id := p_organization_id;
    v_made.id := internal.uuid_v7();
    v_made.created_at := internal.uuid_v7_time(v_made.id);
    v_made.message_title := p_title;
    v_made.message_type := p_channel;
    v_made.message_category := p_category;
    v_made.purpose := p_purpose;
    v_made.lawful_basis := coalesce(p_lawful_basis, CASE p_category WHEN 'commercial' THEN 'consent' ELSE 'contract' END);
    v_made.template_id := p_template_id;
    v_made.subject := p_subject;
    v_made.body := p_body;
    v_made.body_text := p_body_text;
    v_made.sender_name := p_sender_name;
    v_made.sender_address := p_sender_address;
    v_made.reply_to := p_reply_to;
    v_made.postal_address := p_postal_address;
    v_made.unsubscribe_url := p_unsubscribe_url;
    v_made.scheduled_for := p_scheduled_for;
    v_made.window_from := p_window_from;
    v_made.window_until := p_window_until;
    PERFORM internal.check_communication(v_made, p_priority);
    v_made.priority := p_priority;
    IF p_template_id IS NULL THEN
        SELECT made.compiled, made.variables INTO v_made.compiled, v_made.variables
        FROM internal.compile_message(p_channel, p_subject, p_body, p_body_text) AS made;
    ELSE
        SELECT template.version, template.subject, template.body, template.body_text, template.compiled, template.variables
        INTO
            v_made.template_version, v_made.subject, v_made.body, v_made.body_text, v_made.compiled, v_made.variables
        FROM internal.published_template(p_organization_id, p_template_id, p_channel) AS template;
    END IF;

    INSERT INTO public.guest_communications AS new (
        organization_id, id, created_at, message_title, message_type, message_category, purpose, lawful_basis,
        template_id, template_version, subject, body, body_text, compiled, variables, sender_name, sender_address,
        reply_to, postal_address, unsubscribe_url, scheduled_for, window_from, window_until, priority
    ) VALUES (
        v_made.organization_id, v_made.id, v_made.created_at, v_made.message_title, v_made.message_type,
        v_made.message_category, v_made.purpose, v_made.lawful_basis, v_made.template_id, v_made.template_version,
        v_made.subject, v_made.body, v_made.body_text, v_made.compiled, v_made.variables, v_made.sender_name,
        v_made.sender_address, v_made.reply_to, v_made.postal_address, v_made.unsubscribe_url, v_made.scheduled_for,
        v_made.window_from, v_made.window_until, v_made.priority
    ) RETURNING new.* INTO v_made;
    PERFORM internal.finish_idempotent(
        p_organization_id, p_idempotency_key, jsonb_build_object('communication_id', v_made.id)
    );
    RETURN v_made;
END
$plpgsql$;

COMMENT ON FUNCTION public.create_communication(
    uuid, text, text, text, uuid, text, text, text, text, text, text, text, text, text, text, timestamptz, time, time,
    integer, text
) IS 'Make a communication from a template or from texts: a draft until bulk_send() gives it recipients.';
REVOKE ALL ON FUNCTION public.create_communication(
    uuid, text, text, text, uuid, text, text, text, text, text, text, text, text, text, text, timestamptz, time, time,
    integer, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.create_communication(
    uuid, text, text, text, uuid, text, text, text, text, text, text, text, text, text, text, timestamptz, time, time,
    integer, text
) TO comms_app;
