SET LOCAL ROLE comms_maintenance; -- it concerns every tenant
CREATE OR REPLACE FUNCTION internal.carry_withdrawals(p_facts jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* For apply_protective_facts(): consent that ended, or was refused, with the event that proves it. A consent that was
   given here later stays: nobody gives one to a database while it is behind. Returns how many ended or were refused. */
DECLARE
    v_changed bigint;
BEGIN
    WITH fact AS MATERIALIZED (
        SELECT consent.*
        FROM jsonb_array_elements(p_facts) AS given (fact)
        CROSS JOIN LATERAL jsonb_populate_record(NULL::public.communication_gdpr_consent, given.fact -> 'state') AS consent
        JOIN public.organizations AS organization ON organization.organization_id = consent.organization_id
    ),
    proven AS (
        INSERT INTO public.communication_gdpr_consent_events (
            organization_id, event_id, address_hash, channel, purpose, event, guest_id, consent_version, method, source,
            ip_address, user_agent, actor, occurred_at, recorded_at, recorded_by
        )
        SELECT
            event.organization_id, event.event_id, event.address_hash, event.channel, event.purpose, event.event,
            event.guest_id, consented.version, event.method, event.source, event.ip_address, event.user_agent,
            event.actor, event.occurred_at, event.recorded_at, event.recorded_by
        FROM jsonb_array_elements(p_facts) AS given (fact)
        CROSS JOIN LATERAL jsonb_populate_record(
            NULL::public.communication_gdpr_consent_events, given.fact -> 'event'
        ) AS event
        JOIN public.organizations AS organization ON organization.organization_id = event.organization_id
        LEFT JOIN public.consent_texts AS consented -- it may be newer than this database
            ON consented.organization_id = event.organization_id AND consented.version = event.consent_version
        ON CONFLICT DO NOTHING
    )
    INSERT INTO public.communication_gdpr_consent AS known (
        organization_id, address_hash, channel, purpose, consent_event_id, guest_id, guest_email, consent_given,
        consent_version, given_at, withdrawn_at, updated_at
    )
    SELECT
        fact.organization_id, fact.address_hash, fact.channel, fact.purpose, fact.consent_event_id, fact.guest_id,
        fact.guest_email, false, fact.consent_version, fact.given_at, fact.withdrawn_at, fact.updated_at
    FROM fact
    ORDER BY fact.organization_id, fact.address_hash, fact.channel, fact.purpose
    ON CONFLICT (organization_id, address_hash, channel, purpose) DO UPDATE
    SET
        consent_event_id = excluded.consent_event_id, consent_given = false, withdrawn_at = excluded.withdrawn_at,
        updated_at = excluded.updated_at
    WHERE known.consent_given AND known.updated_at < excluded.updated_at;
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.carry_withdrawals(jsonb) IS
'Facts for a restored database: consent that ended, with its proof.';
REVOKE ALL ON FUNCTION internal.carry_withdrawals(jsonb) FROM PUBLIC;
