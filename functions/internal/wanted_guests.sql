CREATE OR REPLACE FUNCTION internal.wanted_guests(
    p_communication public.guest_communications, p_guest_ids uuid[],
    OUT asked bigint, OUT recipient_keys uuid[], OUT guest_ids uuid[], OUT names text[], OUT addresses text[],
    OUT address_hashes bytea[]
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
-- The plan of ten guests is wrong for 100,000, which stay in memory.
SET plan_cache_mode = force_custom_plan
SET work_mem = '64MB'
AS $plpgsql$
/* Guests to be added to a communication, in the order of their keys: those named, or with NULL all that are not
   erased, but for those it has already. asked: how many that were. Raises GC349 for ids of no guest. */
DECLARE
    v_unknown uuid[];
BEGIN
    SELECT
        count(*), array_agg(one.guest_id) FILTER (WHERE one.is_new), array_agg(one.name) FILTER (WHERE one.is_new),
        array_agg(one.address) FILTER (WHERE one.is_new), array_agg(one.address_hash) FILTER (WHERE one.is_new),
        (array_agg(one.id) FILTER (WHERE one.guest_id IS NULL))[1:3]
    INTO asked, guest_ids, names, addresses, address_hashes, v_unknown
    FROM (
        SELECT
            named.id,
            guest.guest_id,
            guest.name,
            CASE p_communication.message_type
                WHEN 'email' THEN guest.email WHEN 'sms' THEN guest.phone WHEN 'push' THEN guest.push_token
            END AS address,
            CASE p_communication.message_type
                WHEN 'email' THEN guest.email_hash WHEN 'sms' THEN guest.phone_hash WHEN 'push' THEN guest.push_hash
            END AS address_hash,
            has.recipient_key IS NULL AS is_new
        FROM (
            SELECT DISTINCT given.id FROM unnest(p_guest_ids) AS given (id)
            UNION ALL
            SELECT everybody.guest_id FROM public.guests AS everybody
            WHERE
                p_guest_ids IS NULL AND everybody.organization_id = p_communication.organization_id
                AND everybody.erased_at IS NULL
        ) AS named (id)
        LEFT JOIN public.guests AS guest
            ON guest.organization_id = p_communication.organization_id AND guest.guest_id = named.id
        LEFT JOIN public.communication_recipients AS has
            ON has.organization_id = p_communication.organization_id AND has.communication_id = p_communication.id
                AND has.communication_created_at = p_communication.created_at AND has.recipient_key = named.id
        ORDER BY named.id
    ) AS one;
    recipient_keys := guest_ids;
    IF v_unknown IS NOT NULL THEN
        RAISE EXCEPTION 'organization % has no guest %', p_communication.organization_id,
            array_to_string(v_unknown, ', ', 'NULL')
        USING ERRCODE = 'GC349', HINT = 'Nobody was queued. Make guests with upsert_guests(); leave out unknown ids.';
    END IF;
    IF p_guest_ids IS NOT NULL THEN
        asked := cardinality(p_guest_ids);
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.wanted_guests(public.guest_communications, uuid[]) IS
'Guests to be added to a communication: those named, or all.';
REVOKE ALL ON FUNCTION internal.wanted_guests(public.guest_communications, uuid[]) FROM PUBLIC;
