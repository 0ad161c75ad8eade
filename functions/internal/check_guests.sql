CREATE OR REPLACE FUNCTION internal.check_guests(p_guests jsonb) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Whether upsert_guests() can take these guests, as far as they tell by themselves.
   Raises GC301 if it is no array of objects, or of more than 100000, GC302 for a key it does not know,
   GC303 for a value it cannot store; always the first one, with its place from 1. */
DECLARE
    c_fields CONSTANT text[] := '{guest_id,external_id,name,email,phone,push_token,language,time_zone}'::text[];
    v_place bigint;
    v_element jsonb;
    v_field text;
BEGIN
    IF jsonb_typeof(p_guests) <> 'array' THEN
        RAISE EXCEPTION 'p_guests is of type %', jsonb_typeof(p_guests)
        USING ERRCODE = 'GC301', HINT = 'Give an array of objects such as [{"external_id": "7", "name": "Ann"}].';
    ELSIF jsonb_array_length(p_guests) > 100000 THEN
        RAISE EXCEPTION 'p_guests has % guests', jsonb_array_length(p_guests)
        USING ERRCODE = 'GC301', HINT = 'Give at most 100000 in a call.';
    END IF;
    SELECT given.place, given.element INTO v_place, v_element
    FROM jsonb_array_elements(p_guests) WITH ORDINALITY AS given (element, place)
    WHERE jsonb_typeof(given.element) <> 'object' ORDER BY given.place LIMIT 1;
    IF v_place IS NOT NULL THEN
        RAISE EXCEPTION 'guest %: %', v_place, left(v_element::text, 100)
        USING ERRCODE = 'GC301', HINT = 'Every guest is an object such as {"external_id": "7", "name": "Ann"}.';
    END IF;
    SELECT given.place, left(keys.name, 100) INTO v_place, v_field
    FROM (
        SELECT every.place, every.element
        FROM jsonb_array_elements(p_guests) WITH ORDINALITY AS every (element, place)
        WHERE every.element - c_fields <> '{}' ORDER BY every.place LIMIT 1
    ) AS given
    CROSS JOIN LATERAL jsonb_object_keys(given.element - c_fields) AS keys (name)
    LIMIT 1;
    IF v_place IS NOT NULL THEN
        RAISE EXCEPTION 'guest %: there is no field "%"', v_place, v_field
        USING ERRCODE = 'GC302', HINT = format('Fields are %s.', array_to_string(c_fields, ', '));
    END IF;
    SELECT checked.place, checked.element, checked.field INTO v_place, v_element, v_field
    FROM (
        SELECT
            given.place, given.element,
            CASE
                WHEN jsonb_typeof(given.element -> 'guest_id') NOT IN ('string', 'null')
                    OR (given.element ->> 'guest_id' IS NOT NULL AND given.guest_id IS NULL) THEN 'guest_id'
                WHEN jsonb_typeof(given.element -> 'external_id') NOT IN ('string', 'null')
                    OR length(given.external_id) NOT BETWEEN 1 AND 200 OR given.external_id ~ '[[:cntrl:]]'
                    THEN 'external_id'
                -- A guest has a name: null does not clear it.
                WHEN jsonb_typeof(given.element -> 'name') <> 'string'
                    OR length(given.name) NOT BETWEEN 1 AND 200 OR given.name ~ '[[:cntrl:]]' THEN 'name'
                WHEN jsonb_typeof(given.element -> 'email') NOT IN ('string', 'null')
                    OR length(given.email) NOT BETWEEN 3 AND 254
                    OR given.email !~ '^[^][:cntrl:][:space:]@<>()[\\,;:"]+@[^][:cntrl:][:space:]@<>()[\\,;:"]+$'
                    THEN 'email'
                WHEN jsonb_typeof(given.element -> 'phone') NOT IN ('string', 'null')
                    OR given.phone !~ '^\+[1-9][0-9]{6,14}$' THEN 'phone'
                WHEN jsonb_typeof(given.element -> 'push_token') NOT IN ('string', 'null')
                    OR length(given.push_token) NOT BETWEEN 1 AND 4096 OR given.push_token ~ '[[:cntrl:][:space:]]'
                    THEN 'push_token'
                WHEN jsonb_typeof(given.element -> 'language') NOT IN ('string', 'null')
                    OR given.language !~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$' OR length(given.language) > 100
                    THEN 'language'
                WHEN jsonb_typeof(given.element -> 'time_zone') NOT IN ('string', 'null')
                    OR given.time_zone IN (
                        SELECT zones.time_zone
                        FROM (SELECT DISTINCT every.time_zone FROM internal.read_guests(p_guests) AS every) AS zones
                        WHERE NOT internal.is_time_zone(zones.time_zone)
                    ) THEN 'time_zone'
            END AS field
        FROM internal.read_guests(p_guests) AS given
    ) AS checked
    WHERE checked.field IS NOT NULL ORDER BY checked.place LIMIT 1;
    IF v_place IS NOT NULL THEN
        RAISE EXCEPTION 'guest %: % cannot be %', v_place, v_field, left((v_element -> v_field)::text, 100)
        USING ERRCODE = 'GC303', HINT = CASE v_field
            WHEN 'guest_id' THEN 'Give the UUID of a guest that exists, or leave it out.'
            WHEN 'external_id' THEN 'Give 1 to 200 characters without control characters.'
            WHEN 'name' THEN 'Give 1 to 200 characters without control characters.'
            WHEN 'email' THEN 'Give one address such as ann@example.org, of at most 254 characters; null clears it.'
            WHEN 'phone' THEN 'Give an international number such as +49 30 123456; null clears it.'
            WHEN 'push_token' THEN 'Give at most 4096 characters without blanks; null clears it.'
            WHEN 'language' THEN 'Give a BCP 47 tag such as de or pt-BR; null clears it.'
            ELSE 'Give an IANA name such as Europe/Berlin; null: the organization''s.' END;
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.check_guests(jsonb) IS
'Refuse guests that cannot be stored, naming the place, the field and the value.';
REVOKE ALL ON FUNCTION internal.check_guests(jsonb) FROM PUBLIC;
