CREATE OR REPLACE FUNCTION internal.end_consent(
    p_organization_id uuid, p_channel text, p_address_hash bytea, p_purpose text, p_proof jsonb
) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* End the consent of an address that holds: for one purpose, or with p_purpose NULL for all. Each end is an event;
   p_proof has its method, source, ip_address, user_agent and actor. Returns how many ended; 0 the second time. */
DECLARE
    v_ended bigint;
BEGIN
    WITH held AS MATERIALIZED (
        SELECT consent.purpose, consent.guest_id, consent.consent_version, internal.uuid_v7() AS event_id
        FROM public.communication_gdpr_consent AS consent
        WHERE
            consent.organization_id = p_organization_id AND consent.address_hash = p_address_hash
            AND consent.channel = p_channel AND (p_purpose IS NULL OR consent.purpose = p_purpose)
            AND consent.consent_given
        ORDER BY consent.purpose
        FOR NO KEY UPDATE
    ),
    proven AS (
        INSERT INTO public.communication_gdpr_consent_events (
            organization_id, event_id, address_hash, channel, purpose, event, guest_id, consent_version,
            method, source, ip_address, user_agent, actor, occurred_at
        )
        SELECT
            p_organization_id, held.event_id, p_address_hash, p_channel, held.purpose, 'withdrawn', held.guest_id,
            held.consent_version, p_proof ->> 'method', p_proof ->> 'source', (p_proof ->> 'ip_address')::inet,
            p_proof ->> 'user_agent', p_proof ->> 'actor', statement_timestamp()
        FROM held
    )
    UPDATE public.communication_gdpr_consent AS consent
    SET
        consent_given = false, consent_event_id = held.event_id,
        withdrawn_at = clock_timestamp(), updated_at = clock_timestamp()
    FROM held
    WHERE
        consent.organization_id = p_organization_id AND consent.address_hash = p_address_hash
        AND consent.channel = p_channel AND consent.purpose = held.purpose;
    GET DIAGNOSTICS v_ended = ROW_COUNT;
    RETURN v_ended;
END
$plpgsql$;

COMMENT ON FUNCTION internal.end_consent(uuid, text, bytea, text, jsonb) IS
'End the consent of an address for one purpose or all, each with its event.';
REVOKE ALL ON FUNCTION internal.end_consent(uuid, text, bytea, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.end_consent(uuid, text, bytea, text, jsonb) TO comms_maintenance;
