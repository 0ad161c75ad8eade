CREATE OR REPLACE FUNCTION public.withdraw_consent(
    p_organization_id uuid, p_address text, p_channel text, p_purpose text, p_method text DEFAULT 'request',
    p_source text DEFAULT NULL, p_ip_address inet DEFAULT NULL, p_user_agent text DEFAULT NULL,
    p_actor text DEFAULT NULL, OUT consent_event_id uuid, OUT suppressed bigint
) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Withdraw consent for an address, channel and purpose, at once: queued messages that rest on it are suppressed
   (consent_withdrawn) in the same transaction; what is in the hands of a worker already cannot be called back.
   Returns the event and how many messages were suppressed. Never refused for who it is: without a consent it is
   written down all the same, and the second time returns the event of the first.
   Raises GC300 for NULL, GC400 to GC402 for channel, address and purpose, GC405 for the proof. */
DECLARE
    v_hash bytea;
    v_proof constant jsonb := jsonb_build_object(
        'method', p_method, 'source', p_source, 'ip_address', p_ip_address, 'user_agent', p_user_agent,
        'actor', p_actor
    );
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    v_hash := internal.consent_subject(p_organization_id, p_address, p_channel, p_purpose);
    PERFORM internal.check_proof(p_method, p_source, p_user_agent, p_actor);
    suppressed := internal.suppress_queued(
        p_organization_id, p_channel, v_hash, 'consent_withdrawn', p_consented_purpose => p_purpose
    );
    IF internal.end_consent(p_organization_id, p_channel, v_hash, p_purpose, v_proof) = 0 THEN
        WITH refused AS (
            INSERT INTO public.communication_gdpr_consent_events (
                organization_id, address_hash, channel, purpose, event, method, source, ip_address, user_agent, actor,
                occurred_at
            )
            SELECT
                p_organization_id, v_hash, p_channel, p_purpose, 'withdrawn', p_method, p_source, p_ip_address,
                p_user_agent, p_actor, statement_timestamp()
            WHERE NOT EXISTS (
                SELECT FROM public.communication_gdpr_consent AS known
                WHERE
                    known.organization_id = p_organization_id AND known.address_hash = v_hash
                    AND known.channel = p_channel AND known.purpose = p_purpose AND NOT known.consent_given
            )
            RETURNING event_id
        )
        INSERT INTO public.communication_gdpr_consent AS known (
            organization_id, address_hash, channel, purpose, consent_event_id, consent_given, withdrawn_at
        )
        SELECT p_organization_id, v_hash, p_channel, p_purpose, refused.event_id, false, clock_timestamp()
        FROM refused
        ON CONFLICT (organization_id, address_hash, channel, purpose) DO UPDATE
        SET
            consent_event_id = excluded.consent_event_id, consent_given = false,
            withdrawn_at = excluded.withdrawn_at, updated_at = clock_timestamp();
    END IF;
    SELECT known.consent_event_id INTO STRICT consent_event_id
    FROM public.communication_gdpr_consent AS known
    WHERE
        known.organization_id = p_organization_id AND known.address_hash = v_hash AND known.channel = p_channel
        AND known.purpose = p_purpose;
END
$plpgsql$;

COMMENT ON FUNCTION public.withdraw_consent(uuid, text, text, text, text, text, inet, text, text) IS
'Withdraw consent at once: queued messages that rest on it are suppressed in the same transaction.';
REVOKE ALL ON FUNCTION public.withdraw_consent(uuid, text, text, text, text, text, inet, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.withdraw_consent(uuid, text, text, text, text, text, inet, text, text) TO comms_app;
