CREATE OR REPLACE FUNCTION public.record_consents(p_organization_id uuid, p_consents jsonb, p_common jsonb DEFAULT '{}')
RETURNS TABLE (place bigint, consent_event_id uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- The plan of ten entries is wrong for 10,000.
SET plan_cache_mode = force_custom_plan
AS $plpgsql$
/* record_consent() for up to 10000 at once, such as an imported list of guests: an array of objects with address,
   channel, purpose, consent_version, method, given_at, source, ip_address, user_agent, actor. p_common has what all of
   them have in common; an entry that says otherwise prevails. All or nothing, with the checks and the effect of
   record_consent() for each; of several entries for the same address, channel and purpose all are proven, and the
   latest holds. Returns for each its place in the array and the event that proves it; the same entries again, with
   their given_at, return the same events.
   Raises GC411 if it is no array of at most 10000 such objects, and what record_consent() raises, with the place of
   the first entry that it is raised for. */
#variable_conflict use_column
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_inner_pad bytea;
    v_outer_pad bytea;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    PERFORM internal.check_consents(p_organization_id, p_consents, p_common);
    SELECT pads.inner_pad, pads.outer_pad INTO v_inner_pad, v_outer_pad
    FROM internal.address_hash_pads(p_organization_id) AS pads;
    RETURN QUERY
    WITH given AS MATERIALIZED (
        SELECT
            entry.place, entry.address, entry.channel, entry.purpose, entry.consent_version, entry.method,
            entry.source, entry.ip_address::inet AS ip_address, entry.user_agent, entry.actor,
            coalesce(entry.given_at::timestamptz, v_now) AS given_at,
            internal.keyed_hash(
                v_inner_pad, v_outer_pad,
                entry.channel || ':' || internal.normalise_address(entry.channel, entry.address)
            ) AS address_hash
        FROM internal.read_consents(p_consents, p_common) AS entry
    ), looked_up AS MATERIALIZED (
        SELECT given.*, known.consent_event_id AS known_event_id
        FROM given
        LEFT JOIN public.communication_gdpr_consent AS known
            ON known.organization_id = p_organization_id AND known.address_hash = given.address_hash
                AND known.channel = given.channel AND known.purpose = given.purpose AND known.consent_given
                AND known.consent_version = given.consent_version AND known.given_at = given.given_at
    ), fresh AS MATERIALIZED (
        SELECT once.*, guest.guest_id, guest.email, internal.uuid_v7() AS event_id
        FROM (
            SELECT DISTINCT ON (
                looked_up.address_hash, looked_up.channel, looked_up.purpose, looked_up.given_at,
                looked_up.consent_version
            ) looked_up.*
            FROM looked_up
            WHERE looked_up.known_event_id IS NULL
            ORDER BY
                looked_up.address_hash, looked_up.channel, looked_up.purpose, looked_up.given_at,
                looked_up.consent_version, looked_up.place
        ) AS once
        LEFT JOIN LATERAL (
            SELECT found.guest_id, found.email
            FROM internal.guests_with_address(p_organization_id, once.channel, once.address_hash) AS found
            LIMIT 1
        ) AS guest ON true
    ), proven AS (
        INSERT INTO public.communication_gdpr_consent_events (
            organization_id, event_id, address_hash, channel, purpose, event, guest_id, consent_version, method, source,
            ip_address, user_agent, actor, occurred_at
        )
        SELECT
            p_organization_id, fresh.event_id, fresh.address_hash, fresh.channel, fresh.purpose, 'given',
            fresh.guest_id, fresh.consent_version, fresh.method, fresh.source, fresh.ip_address, fresh.user_agent,
            fresh.actor, fresh.given_at
        FROM fresh
    ), held AS (
        -- In the order of the key: calls with the same addresses wait for each other, not in a circle.
        INSERT INTO public.communication_gdpr_consent AS known (
            organization_id, address_hash, channel, purpose, consent_event_id, guest_id, guest_email, consent_given,
            consent_version, given_at
        )
        SELECT DISTINCT ON (fresh.address_hash, fresh.channel, fresh.purpose)
            p_organization_id, fresh.address_hash, fresh.channel, fresh.purpose, fresh.event_id, fresh.guest_id,
            CASE WHEN fresh.channel = 'email' THEN coalesce(fresh.email, btrim(fresh.address)) END, true,
            fresh.consent_version, fresh.given_at
        FROM fresh
        ORDER BY fresh.address_hash, fresh.channel, fresh.purpose, fresh.given_at DESC, fresh.place DESC
        ON CONFLICT (organization_id, address_hash, channel, purpose) DO UPDATE
        SET
            consent_event_id = excluded.consent_event_id, guest_id = excluded.guest_id,
            guest_email = excluded.guest_email, consent_given = true, consent_version = excluded.consent_version,
            given_at = excluded.given_at, updated_at = clock_timestamp()
        WHERE greatest(known.given_at, known.withdrawn_at) <= excluded.given_at
        RETURNING known.consent_event_id
    ), lifted AS (
        DELETE FROM public.suppressions AS bar
        USING held
        JOIN fresh ON fresh.event_id = held.consent_event_id
        WHERE
            bar.organization_id = p_organization_id AND bar.channel = fresh.channel
            AND bar.address_hash = fresh.address_hash AND fresh.method <> 'import'
            AND bar.reason IN ('unsubscribe', 'consent_withdrawn', 'erased') AND bar.created_at <= fresh.given_at
    )
    SELECT looked_up.place, coalesce(looked_up.known_event_id, fresh.event_id)
    FROM looked_up
    LEFT JOIN fresh
        ON fresh.address_hash = looked_up.address_hash AND fresh.channel = looked_up.channel
            AND fresh.purpose = looked_up.purpose AND fresh.given_at = looked_up.given_at
            AND fresh.consent_version = looked_up.consent_version
    ORDER BY looked_up.place;
END
$plpgsql$;

COMMENT ON FUNCTION public.record_consents(uuid, jsonb, jsonb) IS
'Write down the consent of up to 10000 addresses at once, such as an imported list; returns the events that prove it.';
REVOKE ALL ON FUNCTION public.record_consents(uuid, jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.record_consents(uuid, jsonb, jsonb) TO comms_app;
