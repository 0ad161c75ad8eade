CREATE OR REPLACE FUNCTION internal.read_recipients(p_channel text, p_recipients jsonb)
RETURNS TABLE (item bigint, guest_id uuid, name text, address text, personalisation text)
LANGUAGE sql IMMUTABLE ROWS 1000
/* The elements of p_recipients, which internal.check_recipients() has passed, as columns; the address is the one of
   the channel. */
BEGIN ATOMIC
    SELECT
        element.item,
        (element.value ->> 'guest_id')::uuid,
        element.value ->> 'name',
        CASE p_channel
            WHEN 'email' THEN btrim(element.value ->> 'email')
            WHEN 'sms' THEN internal.normalise_address('sms', element.value ->> 'phone')
            WHEN 'push' THEN element.value ->> 'device'
        END,
        nullif(element.value ->> 'personalisation', '{}')
    FROM jsonb_array_elements(p_recipients) WITH ORDINALITY AS element (value, item);
END;

COMMENT ON FUNCTION internal.read_recipients(text, jsonb) IS 'The recipients of a JSON array as columns.';
REVOKE ALL ON FUNCTION internal.read_recipients(text, jsonb) FROM PUBLIC;
