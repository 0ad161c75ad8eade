CREATE OR REPLACE FUNCTION internal.wanted_recipients(
    p_communication public.guest_communications, p_recipients jsonb,
    OUT asked bigint, OUT recipient_keys uuid[], OUT guest_ids uuid[], OUT names text[], OUT addresses text[],
    OUT address_hashes bytea[], OUT personalisations text[]
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
-- The plan of ten recipients is wrong for 100,000, which stay in memory.
SET plan_cache_mode = force_custom_plan
SET work_mem = '64MB'
AS $plpgsql$
/* Recipients to be added to a communication, in the order of their keys, from the elements of a JSON array that
   internal.check_recipients() has passed; of several with the same key the first, and none that it has already.
   Who is no guest is known by a key made from the hash of channel and address: a UUIDv8, as which no guest is known.
   Raises GC349 for ids of no guest. */
DECLARE
    v_pads record;
    v_unknown text[];
BEGIN
    SELECT pads.inner_pad, pads.outer_pad INTO v_pads
    FROM internal.address_hash_pads(p_communication.organization_id) AS pads;
    SELECT
        array_agg(one.recipient_key) FILTER (WHERE one.is_new), array_agg(one.guest_id) FILTER (WHERE one.is_new),
        array_agg(one.name) FILTER (WHERE one.is_new), array_agg(one.address) FILTER (WHERE one.is_new),
        array_agg(one.address_hash) FILTER (WHERE one.is_new),
        array_agg(one.personalisation) FILTER (WHERE one.is_new),
        (array_agg(one.recipient_key::text) FILTER (WHERE one.is_unknown))[1:3]
    INTO recipient_keys, guest_ids, names, addresses, address_hashes, personalisations, v_unknown
    FROM (
        SELECT DISTINCT ON (keyed.recipient_key)
            keyed.recipient_key,
            keyed.guest_id,
            CASE WHEN keyed.guest_id IS NULL THEN keyed.name ELSE guest.name END AS name,
            CASE
                WHEN keyed.guest_id IS NULL THEN keyed.address
                ELSE CASE p_communication.message_type
                    WHEN 'email' THEN guest.email WHEN 'sms' THEN guest.phone WHEN 'push' THEN guest.push_token
                END
            END AS address,
            CASE
                WHEN keyed.guest_id IS NULL THEN keyed.address_hash
                ELSE CASE p_communication.message_type
                    WHEN 'email' THEN guest.email_hash WHEN 'sms' THEN guest.phone_hash WHEN 'push' THEN guest.push_hash
                END
            END AS address_hash,
            keyed.personalisation,
            has.recipient_key IS NULL AS is_new,
            keyed.guest_id IS NOT NULL AND guest.guest_id IS NULL AS is_unknown
        FROM (
            SELECT
                hashed.*,
                coalesce(hashed.guest_id, internal.key_of_address(hashed.address_hash)) AS recipient_key
            FROM (
                SELECT
                    read.*,
                    internal.keyed_hash(
                        v_pads.inner_pad, v_pads.outer_pad,
                        p_communication.message_type || ':'
                        || internal.normalise_address(p_communication.message_type, read.address)
                    ) AS address_hash
                FROM internal.read_recipients(p_communication.message_type, p_recipients) AS read
            ) AS hashed
        ) AS keyed
        LEFT JOIN public.guests AS guest
            ON guest.organization_id = p_communication.organization_id AND guest.guest_id = keyed.guest_id
        LEFT JOIN public.communication_recipients AS has
            ON has.organization_id = p_communication.organization_id AND has.communication_id = p_communication.id
                AND has.communication_created_at = p_communication.created_at
                AND has.recipient_key = keyed.recipient_key
        ORDER BY keyed.recipient_key, keyed.item
    ) AS one;
    IF v_unknown IS NOT NULL THEN
        RAISE EXCEPTION 'organization % has no guest %', p_communication.organization_id,
            array_to_string(v_unknown, ', ')
        USING ERRCODE = 'GC349', HINT = 'Nobody was queued. Make guests with upsert_guests(); leave out unknown ids.';
    END IF;
    asked := jsonb_array_length(p_recipients);
END
$plpgsql$;

COMMENT ON FUNCTION internal.wanted_recipients(public.guest_communications, jsonb) IS
'Recipients to be added to a communication, from a JSON array.';
REVOKE ALL ON FUNCTION internal.wanted_recipients(public.guest_communications, jsonb) FROM PUBLIC;
