CREATE OR REPLACE FUNCTION internal.check_recipients(p_channel text, p_variables text[], p_recipients jsonb)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Refuse recipients of bulk_send() that cannot be, naming the first of them by its position from 1: GC348 if they are
   no array or too many, GC350 for an element of another shape, GC351 for one without a variable of the message. */
DECLARE
    v_wrong record;
    v_field CONSTANT text := CASE p_channel WHEN 'email' THEN 'email' WHEN 'sms' THEN 'phone' WHEN 'push' THEN 'device' END;
BEGIN
    IF jsonb_typeof(p_recipients) <> 'array' THEN
        RAISE EXCEPTION 'p_recipients is no array but %', jsonb_typeof(p_recipients)
        USING ERRCODE = 'GC348', HINT = 'Give a JSON array: [{"guest_id": "…"}, {"email": "…", "name": "…"}].';
    ELSIF jsonb_array_length(p_recipients) > 100000 THEN
        RAISE EXCEPTION '% recipients in one call', jsonb_array_length(p_recipients)
        USING ERRCODE = 'GC348', HINT = 'Give up to 100000 a call, in as many calls as it takes.';
    END IF;
    SELECT read.item, read.problem INTO v_wrong
    FROM (
        SELECT
            element.item,
            CASE
                WHEN jsonb_typeof(element.value) <> 'object' THEN 'is no object'
                WHEN element.value - '{guest_id,name,email,phone,device,personalisation}'::text[] <> '{}'
                    THEN 'has an unknown field'
                WHEN element.value ? 'guest_id' AND element.value ?| '{name,email,phone,device}'
                    THEN 'has both a guest_id and an address or a name'
                WHEN element.value ? 'guest_id' AND pg_input_is_valid(element.value ->> 'guest_id', 'uuid') IS NOT TRUE
                    THEN 'has a guest_id that is no UUID'
                WHEN element.value ? 'guest_id' THEN NULL
                WHEN v_field IS NULL THEN 'has no guest_id'
                WHEN jsonb_typeof(element.value -> v_field) IS DISTINCT FROM 'string'
                    THEN format('has neither guest_id nor %s', v_field)
                WHEN element.value ?| array_remove('{email,phone,device}', v_field) THEN 'has an address of another channel'
                WHEN p_channel = 'email' AND NOT (
                    btrim(element.value ->> 'email') ~ '^[^\s@]+@[^\s@]+$'
                    AND length(btrim(element.value ->> 'email')) <= 254
                ) THEN 'has no valid email'
                WHEN p_channel = 'sms'
                    AND internal.normalise_address('sms', element.value ->> 'phone') !~ '^\+[1-9][0-9]{6,14}$'
                    THEN 'has a phone that is no number such as +4930123456'
                WHEN p_channel = 'push' AND length(element.value ->> 'device') NOT BETWEEN 1 AND 4096
                    THEN 'has no valid device'
                WHEN element.value ? 'name' AND (
                    jsonb_typeof(element.value -> 'name') <> 'string'
                    OR length(element.value ->> 'name') NOT BETWEEN 1 AND 200
                ) THEN 'has a name that is no text of 1 to 200 characters'
            END AS problem
        FROM jsonb_array_elements(p_recipients) WITH ORDINALITY AS element (value, item)
    ) AS read
    WHERE read.problem IS NOT NULL
    ORDER BY read.item
    LIMIT 1;
    IF v_wrong.item IS NOT NULL THEN
        RAISE EXCEPTION 'recipient % %', v_wrong.item, v_wrong.problem
        USING ERRCODE = 'GC350',
            HINT = 'Each is {"guest_id": …} or {"email": …, "name": …} (phone for sms, device for push), and may have "personalisation".';
    END IF;
    SELECT element.item, element.value -> 'personalisation' AS given INTO v_wrong
    FROM jsonb_array_elements(p_recipients) WITH ORDINALITY AS element (value, item)
    WHERE
        jsonb_typeof(coalesce(element.value -> 'personalisation', '{}')) <> 'object'
        OR NOT jsonb_strip_nulls(coalesce(element.value -> 'personalisation', '{}')) ?& p_variables
    ORDER BY element.item
    LIMIT 1;
    IF v_wrong.item IS NOT NULL AND jsonb_typeof(v_wrong.given) <> 'object' THEN
        RAISE EXCEPTION 'recipient % has a personalisation that is no object', v_wrong.item
        USING ERRCODE = 'GC350', HINT = 'Give {"variable": "value", …}.';
    ELSIF v_wrong.item IS NOT NULL THEN
        RAISE EXCEPTION 'recipient % lacks variable %', v_wrong.item, (
            SELECT string_agg(needed.name, ', ') FROM unnest(p_variables) AS needed (name)
            WHERE v_wrong.given ->> needed.name IS NULL
        ) USING ERRCODE = 'GC351', HINT = 'Give every variable of the message in "personalisation".';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.check_recipients(text, text[], jsonb) IS
'Refuse recipients of bulk_send() that cannot be, naming the first of them.';
REVOKE ALL ON FUNCTION internal.check_recipients(text, text[], jsonb) FROM PUBLIC;
