CREATE OR REPLACE FUNCTION public.upsert_guests(p_organization_id uuid, p_guests jsonb)
RETURNS TABLE (place bigint, guest_id uuid, action text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Write up to 100000 guests, given as an array of objects with guest_id, external_id, name, email,
   phone, push_token, language, time_zone. One with a guest_id is that guest; else one with a known
   external_id is that guest; any other is new. A key that is absent leaves the value, null clears it.
   Returns for every guest its place in the array, its id, and whether it was inserted, updated,
   unchanged, or is erased: an erased guest is never written again.
   All or nothing. Raises GC300 for NULL, GC301 to GC303 as check_guests(), GC304 for a new guest
   without a name, GC305 for a guest given twice, GC306 for an unknown guest_id, GC307 for an
   external_id of another guest. */
DECLARE
    v_ids uuid[];
    v_known boolean[];
    v_inner_pad bytea;
    v_outer_pad bytea;
    v_taken jsonb;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    IF p_guests IS NULL THEN
        RAISE EXCEPTION 'p_guests is NULL'
        USING ERRCODE = 'GC300', HINT = 'Give an array of objects such as [{"external_id": "7", "name": "Ann"}].';
    END IF;
    PERFORM internal.check_guests(p_guests);
    IF jsonb_array_length(p_guests) > 1 THEN
        -- Two calls with the same guests in different order would wait for each other. One guest waits for nobody else.
        PERFORM pg_advisory_xact_lock(hashtextextended('upsert_guests ' || p_organization_id, 0));
    END IF;
    SELECT resolved.ids, resolved.known INTO v_ids, v_known
    FROM internal.resolve_guests(p_organization_id, p_guests) AS resolved;
    IF EXISTS (
        SELECT FROM internal.read_guests(p_guests) AS given
        WHERE num_nonnulls(given.email, given.phone, given.push_token) > 0
    ) THEN
        SELECT pads.inner_pad, pads.outer_pad INTO v_inner_pad, v_outer_pad
        FROM internal.address_hash_pads(p_organization_id) AS pads;
    END IF;

    IF false = ANY (v_known) THEN
        WITH made AS (
            INSERT INTO public.guests AS guest (
                organization_id, guest_id, external_id, name, email, email_hash, phone, phone_hash,
                push_token, push_hash, language, time_zone
            )
            SELECT
                p_organization_id, v_ids[given.place], given.external_id, given.name, given.email, given.email_hash,
                given.phone, given.phone_hash, given.push_token, given.push_hash, given.language, given.time_zone
            FROM internal.read_guests(p_guests, v_inner_pad, v_outer_pad) AS given
            WHERE NOT v_known[given.place]
            ORDER BY given.external_id
            ON CONFLICT (organization_id, external_id) DO UPDATE SET external_id = EXCLUDED.external_id
            RETURNING guest.guest_id, guest.external_id
        )

        SELECT jsonb_object_agg(made.external_id, made.guest_id) INTO v_taken
        FROM made
        WHERE NOT EXISTS (SELECT FROM unnest(v_ids) AS ours (guest_id) WHERE ours.guest_id = made.guest_id);
        -- Inserted by another call since we looked: then these are the guests.
        IF v_taken IS NOT NULL THEN
            SELECT
                array_agg(coalesce((v_taken ->> given.external_id)::uuid, v_ids[given.place]) ORDER BY given.place),
                array_agg(v_known[given.place] OR coalesce(v_taken ? given.external_id, false) ORDER BY given.place)
            INTO v_ids, v_known
            FROM internal.read_guests(p_guests) AS given;
        END IF;
    END IF;

    -- An UPDATE in the form of an INSERT: it begins with what was given, whatever the statistics say.
    -- Values first: see resolve_guests().
    RETURN QUERY
    WITH given AS MATERIALIZED (
        SELECT parsed.*, v_ids[parsed.place] AS known_id
        FROM internal.read_guests(p_guests, v_inner_pad, v_outer_pad) AS parsed
        WHERE v_known[parsed.place]
    ),

    written AS (
        INSERT INTO public.guests AS guest (
            organization_id, guest_id, external_id, name, email, email_hash, phone, phone_hash, push_token, push_hash,
            language, time_zone
        )
        SELECT
            p_organization_id, stored.guest_id,
            CASE WHEN given.element ? 'external_id' THEN given.external_id ELSE stored.external_id END,
            CASE WHEN given.element ? 'name' THEN given.name ELSE stored.name END,
            CASE WHEN given.element ? 'email' THEN given.email ELSE stored.email END,
            CASE WHEN given.element ? 'email' THEN given.email_hash ELSE stored.email_hash END,
            CASE WHEN given.element ? 'phone' THEN given.phone ELSE stored.phone END,
            CASE WHEN given.element ? 'phone' THEN given.phone_hash ELSE stored.phone_hash END,
            CASE WHEN given.element ? 'push_token' THEN given.push_token ELSE stored.push_token END,
            CASE WHEN given.element ? 'push_token' THEN given.push_hash ELSE stored.push_hash END,
            CASE WHEN given.element ? 'language' THEN given.language ELSE stored.language END,
            CASE WHEN given.element ? 'time_zone' THEN given.time_zone ELSE stored.time_zone END
        FROM given
        CROSS JOIN LATERAL (
            SELECT * FROM public.guests AS found
            WHERE found.organization_id = p_organization_id AND found.guest_id = given.known_id LIMIT 1
        ) AS stored
        WHERE
            stored.erased_at IS NULL
            AND (
                (given.element ? 'external_id' AND given.external_id IS DISTINCT FROM stored.external_id)
                OR (given.element ? 'name' AND given.name IS DISTINCT FROM stored.name)
                OR (given.element ? 'email' AND given.email IS DISTINCT FROM stored.email)
                OR (given.element ? 'phone' AND given.phone IS DISTINCT FROM stored.phone)
                OR (given.element ? 'push_token' AND given.push_token IS DISTINCT FROM stored.push_token)
                OR (given.element ? 'language' AND given.language IS DISTINCT FROM stored.language)
                OR (given.element ? 'time_zone' AND given.time_zone IS DISTINCT FROM stored.time_zone)
            )
        ON CONFLICT ON CONSTRAINT guests_pkey DO UPDATE
        SET
            external_id = EXCLUDED.external_id,
            name = EXCLUDED.name,
            email = EXCLUDED.email,
            email_hash = EXCLUDED.email_hash,
            phone = EXCLUDED.phone,
            phone_hash = EXCLUDED.phone_hash,
            push_token = EXCLUDED.push_token,
            push_hash = EXCLUDED.push_hash,
            language = EXCLUDED.language,
            time_zone = EXCLUDED.time_zone,
            updated_at = now()
        RETURNING guest.guest_id
    )

    SELECT
        every.place, every.guest_id,
        CASE
            WHEN NOT every.known THEN 'inserted'
            WHEN every.guest_id IN (SELECT written.guest_id FROM written) THEN 'updated'
            WHEN EXISTS (
                SELECT FROM public.guests AS erased
                WHERE
                    erased.organization_id = p_organization_id AND erased.guest_id = every.guest_id
                    AND erased.erased_at IS NOT NULL
            ) THEN 'erased'
            ELSE 'unchanged'
        END
    FROM unnest(v_ids, v_known) WITH ORDINALITY AS every (guest_id, known, place)
    ORDER BY every.place;
END
$plpgsql$;

COMMENT ON FUNCTION public.upsert_guests(uuid, jsonb) IS
'Insert or change up to 100000 guests at once; returns the id of each and what was done.';
REVOKE ALL ON FUNCTION public.upsert_guests(uuid, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.upsert_guests(uuid, jsonb) TO comms_app;
