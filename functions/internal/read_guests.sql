CREATE OR REPLACE FUNCTION internal.read_guests(
    p_guests jsonb, p_inner_pad bytea DEFAULT NULL, p_outer_pad bytea DEFAULT NULL
) RETURNS TABLE (
    place bigint, element jsonb, guest_id uuid, external_id text, name text, email text, phone text,
    push_token text, language text, time_zone text, email_hash bytea, phone_hash bytea, push_hash bytea
)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    /* The guests that upsert_guests() was given, numbered from 1, as they are to be stored.
       Hashes of addresses with the pads of address_hash_pads(), else NULL. */
    SELECT
        given.place,
        given.element,
        CASE
            WHEN pg_input_is_valid(given.element ->> 'guest_id', 'uuid')
                THEN (given.element ->> 'guest_id')::uuid
        END,
        given.element ->> 'external_id',
        btrim(given.element ->> 'name'),
        btrim(given.element ->> 'email'),
        internal.normalise_address('sms', given.element ->> 'phone'),
        given.element ->> 'push_token',
        given.element ->> 'language',
        given.element ->> 'time_zone',
        internal.keyed_hash(
            p_inner_pad, p_outer_pad, 'email:' || internal.normalise_address('email', given.element ->> 'email')
        ),
        internal.keyed_hash(
            p_inner_pad, p_outer_pad, 'sms:' || internal.normalise_address('sms', given.element ->> 'phone')
        ),
        internal.keyed_hash(
            p_inner_pad, p_outer_pad, 'push:' || internal.normalise_address('push', given.element ->> 'push_token')
        )
    FROM jsonb_array_elements(p_guests) WITH ORDINALITY AS given (element, place);
END;

COMMENT ON FUNCTION internal.read_guests(jsonb, bytea, bytea) IS
'The guests given to upsert_guests(), as they are to be stored.';
REVOKE ALL ON FUNCTION internal.read_guests(jsonb, bytea, bytea) FROM PUBLIC;
