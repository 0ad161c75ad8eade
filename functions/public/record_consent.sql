CREATE OR REPLACE FUNCTION public.record_consent(
    p_organization_id uuid, p_address text, p_channel text, p_purpose text, p_consent_version text, p_method text,
    p_given_at timestamptz DEFAULT NULL, p_source text DEFAULT NULL, p_ip_address inet DEFAULT NULL,
    p_user_agent text DEFAULT NULL, p_actor text DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Write down that somebody consented: to which words (GC403 if they are unknown), for which address, channel and
   purpose, how and when (NULL: now). Returns the event, which is the proof; a repeated call with the same p_given_at
   returns the same one. It holds as from now unless it was withdrawn later than it was given, and then lifts what
   the same person's unsubscribing or erasure put on the address; an import lifts nothing, and nothing lifts a bounce
   or a complaint.
   Raises GC300 for NULL, GC400 to GC402 for channel, address and purpose, GC405 for the proof, GC406 for a moment
   in the future or before 2000. */
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_given_at constant timestamptz := coalesce(p_given_at, v_now);
    v_hash bytea;
    v_guest record;
    v_event_id uuid;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    v_hash := internal.consent_subject(p_organization_id, p_address, p_channel, p_purpose);
    PERFORM internal.require_given(jsonb_build_object('p_consent_version', p_consent_version));
    PERFORM internal.check_proof(p_method, p_source, p_user_agent, p_actor);
    PERFORM internal.check_given_at(p_given_at, v_now);
    IF NOT EXISTS (
        SELECT FROM public.consent_texts AS known
        WHERE known.organization_id = p_organization_id AND known.version = p_consent_version
    ) THEN
        RAISE EXCEPTION 'there is no consent text of version "%"', left(p_consent_version, 100)
        USING ERRCODE = 'GC403', HINT = 'Make its words known with create_consent_text(), then record the consent.';
    END IF;
    SELECT known.consent_event_id INTO v_event_id
    FROM public.communication_gdpr_consent AS known
    WHERE
        known.organization_id = p_organization_id AND known.address_hash = v_hash AND known.channel = p_channel
        AND known.purpose = p_purpose AND known.consent_given AND known.consent_version = p_consent_version
        AND known.given_at = p_given_at;
    IF FOUND THEN
        RETURN v_event_id;
    END IF;
    SELECT guest.guest_id, guest.email INTO v_guest
    FROM internal.guests_with_address(p_organization_id, p_channel, v_hash) AS guest LIMIT 1;
    INSERT INTO public.communication_gdpr_consent_events (
        organization_id, address_hash, channel, purpose, event, guest_id, consent_version, method, source, ip_address,
        user_agent, actor, occurred_at
    )
    VALUES (
        p_organization_id, v_hash, p_channel, p_purpose, 'given', v_guest.guest_id, p_consent_version, p_method,
        p_source, p_ip_address, p_user_agent, p_actor, v_given_at
    )
    RETURNING event_id INTO v_event_id;
    INSERT INTO public.communication_gdpr_consent AS known (
        organization_id, address_hash, channel, purpose, consent_event_id, guest_id, guest_email, consent_given,
        consent_version, given_at
    )
    VALUES (
        p_organization_id, v_hash, p_channel, p_purpose, v_event_id, v_guest.guest_id,
        CASE WHEN p_channel = 'email' THEN coalesce(v_guest.email, btrim(p_address)) END, true,
        p_consent_version, v_given_at
    )
    ON CONFLICT (organization_id, address_hash, channel, purpose) DO UPDATE
    SET
        consent_event_id = excluded.consent_event_id, guest_id = excluded.guest_id,
        guest_email = excluded.guest_email, consent_given = true, consent_version = excluded.consent_version,
        given_at = excluded.given_at, updated_at = clock_timestamp()
    WHERE greatest(known.given_at, known.withdrawn_at) <= excluded.given_at;
    IF FOUND AND p_method <> 'import' THEN
        DELETE FROM public.suppressions AS lifted
        WHERE
            lifted.organization_id = p_organization_id AND lifted.channel = p_channel
            AND lifted.address_hash = v_hash AND lifted.reason IN ('unsubscribe', 'consent_withdrawn', 'erased')
            AND lifted.created_at <= v_given_at;
    END IF;
    RETURN v_event_id;
END
$plpgsql$;

COMMENT ON FUNCTION public.record_consent(
    uuid, text, text, text, text, text, timestamptz, text, inet, text, text
) IS 'Write down that somebody consented, to which words, how and when; returns the event that proves it.';
REVOKE ALL ON FUNCTION public.record_consent(
    uuid, text, text, text, text, text, timestamptz, text, inet, text, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.record_consent(
    uuid, text, text, text, text, text, timestamptz, text, inet, text, text
) TO comms_app;
