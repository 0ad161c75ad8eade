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
        FROM made WHERE made.guest_id NOT IN (SELECT unnest(v_ids));
        -- Inserted by another call since we looked: then these are the guests.
        IF v_taken IS NOT NULL THEN
            SELECT
                array_agg(coalesce((v_taken ->> given.external_id)::uuid, v_ids[given.place]) ORDER BY given.place),
                array_agg(v_known[given.place] OR coalesce(v_taken ? given.external_id, false) ORDER BY given.place)
            INTO v_ids, v_known
            FROM internal.read_guests(p_guests) AS given;
        END IF;
    END IF;

    RETURN QUERY
    WITH written AS (
        UPDATE public.guests AS guest
        SET
            external_id = CASE WHEN given.element ? 'external_id' THEN given.external_id ELSE guest.external_id END,
            name = CASE WHEN given.element ? 'name' THEN given.name ELSE guest.name END,
            email = CASE WHEN given.element ? 'email' THEN given.email ELSE guest.email END,
            email_hash = CASE WHEN given.element ? 'email' THEN given.email_hash ELSE guest.email_hash END,
            phone = CASE WHEN given.element ? 'phone' THEN given.phone ELSE guest.phone END,
            phone_hash = CASE WHEN given.element ? 'phone' THEN given.phone_hash ELSE guest.phone_hash END,
            push_token = CASE WHEN given.element ? 'push_token' THEN given.push_token ELSE guest.push_token END,
            push_hash = CASE WHEN given.element ? 'push_token' THEN given.push_hash ELSE guest.push_hash END,
            language = CASE WHEN given.element ? 'language' THEN given.language ELSE guest.language END,
            time_zone = CASE WHEN given.element ? 'time_zone' THEN given.time_zone ELSE guest.time_zone END,
            updated_at = now()
        FROM internal.read_guests(p_guests, v_inner_pad, v_outer_pad) AS given
        WHERE
            guest.organization_id = p_organization_id AND guest.guest_id = v_ids[given.place]
            AND v_known[given.place] AND guest.erased_at IS NULL
            AND (
                (given.element ? 'external_id' AND given.external_id IS DISTINCT FROM guest.external_id)
                OR (given.element ? 'name' AND given.name IS DISTINCT FROM guest.name)
                OR (given.element ? 'email' AND given.email IS DISTINCT FROM guest.email)
                OR (given.element ? 'phone' AND given.phone IS DISTINCT FROM guest.phone)
                OR (given.element ? 'push_token' AND given.push_token IS DISTINCT FROM guest.push_token)
                OR (given.element ? 'language' AND given.language IS DISTINCT FROM guest.language)
                OR (given.element ? 'time_zone' AND given.time_zone IS DISTINCT FROM guest.time_zone)
            )
        RETURNING guest.guest_id
    )

    SELECT
        given.place, given.guest_id,
        CASE
            WHEN NOT given.known THEN 'inserted'
            WHEN given.guest_id IN (SELECT written.guest_id FROM written) THEN 'updated'
            WHEN EXISTS (
                SELECT FROM public.guests AS erased
                WHERE
                    erased.organization_id = p_organization_id AND erased.guest_id = given.guest_id
                    AND erased.erased_at IS NOT NULL
            ) THEN 'erased'
            ELSE 'unchanged'
        END
    FROM unnest(v_ids, v_known) WITH ORDINALITY AS given (guest_id, known, place)
    ORDER BY given.place;
END
$plpgsql$;

COMMENT ON FUNCTION public.upsert_guests(uuid, jsonb) IS
'Insert or change up to 100000 guests at once; returns the id of each and what was done.';
REVOKE ALL ON FUNCTION public.upsert_guests(uuid, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.upsert_guests(uuid, jsonb) TO comms_app;
