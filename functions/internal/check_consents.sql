CREATE OR REPLACE FUNCTION internal.check_consents(p_organization_id uuid, p_consents jsonb, p_common jsonb)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Whether record_consents() can take these entries: the checks of record_consent() for each of them. Raises what that
   raises, with the place of the first entry that cannot be taken, from 1; GC411 for what is no array of at most 10000
   objects, or has a field that there is not. */
DECLARE
    c_fields CONSTANT text[] := ARRAY[
        'address', 'channel', 'purpose', 'consent_version', 'method', 'given_at', 'source', 'ip_address', 'user_agent',
        'actor'
    ];
    v_place bigint;
    v_entry record;
    v_hint text;
BEGIN
    PERFORM internal.require_given(jsonb_build_object('p_consents', p_consents, 'p_common', p_common));
    IF jsonb_typeof(p_consents) <> 'array' OR jsonb_typeof(p_common) <> 'object' THEN
        RAISE EXCEPTION 'p_consents is of type %, p_common of type %', jsonb_typeof(p_consents), jsonb_typeof(p_common)
        USING ERRCODE = 'GC411',
            HINT = 'Give an array of objects such as [{"address": "ann@example.org"}], and one object for all.';
    ELSIF jsonb_array_length(p_consents) > 10000 THEN
        RAISE EXCEPTION 'p_consents has % entries', jsonb_array_length(p_consents)
        USING ERRCODE = 'GC411', HINT = 'Give at most 10000 in a call.';
    END IF;
    SELECT every.place INTO v_place
    FROM jsonb_array_elements(p_consents || p_common) WITH ORDINALITY AS every (element, place)
    WHERE CASE jsonb_typeof(every.element) WHEN 'object' THEN every.element - c_fields <> '{}' ELSE true END
    ORDER BY every.place LIMIT 1;
    IF v_place IS NOT NULL THEN
        RAISE EXCEPTION 'entry % is no consent: %', v_place, left(((p_consents || p_common) -> (v_place - 1)::integer)::text, 100)
        USING ERRCODE = 'GC411', HINT = format('An entry is an object; fields are %s.', array_to_string(c_fields, ', '));
    END IF;
    FOR v_entry IN SELECT * FROM internal.read_consents(p_consents, p_common) AS entry ORDER BY entry.place LOOP
        v_place := v_entry.place;
        PERFORM internal.check_consent_subject(v_entry.address, v_entry.channel, v_entry.purpose);
        PERFORM internal.require_given(jsonb_build_object('consent_version', v_entry.consent_version));
        PERFORM internal.check_proof(v_entry.method, v_entry.source, v_entry.user_agent, v_entry.actor);
        IF NOT coalesce(pg_input_is_valid(v_entry.ip_address, 'inet'), true) THEN
            RAISE EXCEPTION '"%" is no IP address', left(v_entry.ip_address, 100)
            USING ERRCODE = 'GC405', HINT = 'Give one such as 192.0.2.1 or 2001:db8::1, or none.';
        ELSIF NOT coalesce(pg_input_is_valid(v_entry.given_at, 'timestamptz'), true) THEN
            RAISE EXCEPTION '"%" is no moment', left(v_entry.given_at, 100)
            USING ERRCODE = 'GC406', HINT = 'Give one such as 2026-01-31T12:00:00Z, or none for now.';
        END IF;
        PERFORM internal.check_given_at(v_entry.given_at::timestamptz, clock_timestamp());
    END LOOP;
    SELECT entry.place, entry.consent_version INTO v_entry
    FROM internal.read_consents(p_consents, p_common) AS entry
    WHERE NOT EXISTS (
        SELECT FROM public.consent_texts AS known
        WHERE known.organization_id = p_organization_id AND known.version = entry.consent_version
    )
    ORDER BY entry.place LIMIT 1;
    IF FOUND THEN
        v_place := v_entry.place;
        RAISE EXCEPTION 'there is no consent text of version "%"', left(v_entry.consent_version, 100)
        USING ERRCODE = 'GC403', HINT = 'Make its words known with create_consent_text(), then record the consent.';
    END IF;
EXCEPTION WHEN OTHERS THEN
    IF SQLSTATE NOT LIKE 'GC%' OR SQLSTATE = 'GC411' OR v_place IS NULL THEN
        RAISE;
    END IF;
    GET STACKED DIAGNOSTICS v_hint = PG_EXCEPTION_HINT;
    RAISE EXCEPTION 'entry %: %', v_place, SQLERRM USING ERRCODE = SQLSTATE, HINT = v_hint;
END
$plpgsql$;

COMMENT ON FUNCTION internal.check_consents(uuid, jsonb, jsonb) IS
'Refuse entries that record_consents() cannot take, naming the first one.';
REVOKE ALL ON FUNCTION internal.check_consents(uuid, jsonb, jsonb) FROM PUBLIC;
