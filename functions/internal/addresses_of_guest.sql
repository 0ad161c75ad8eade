CREATE OR REPLACE FUNCTION internal.addresses_of_guest(p_organization_id uuid, p_guest_id uuid)
RETURNS TABLE (channel text, address_hash bytea)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The addresses that a guest has or was written to by, as keyed hashes, except those that another guest has, too. */
    SELECT mine.channel, mine.address_hash
    FROM (
        SELECT own.channel, own.address_hash
        FROM public.guests AS guest
        CROSS JOIN LATERAL (
            VALUES ('email', guest.email_hash), ('sms', guest.phone_hash), ('push', guest.push_hash)
        ) AS own (channel, address_hash)
        WHERE guest.organization_id = p_organization_id AND guest.guest_id = p_guest_id
        UNION
        SELECT earlier.channel, earlier.address_hash
        FROM public.communication_recipients AS earlier
        WHERE earlier.organization_id = p_organization_id AND earlier.guest_id = p_guest_id
    ) AS mine
    WHERE
        mine.address_hash IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM internal.guests_with_address(p_organization_id, mine.channel, mine.address_hash) AS other
            WHERE other.guest_id <> p_guest_id
        )
$sql$;

COMMENT ON FUNCTION internal.addresses_of_guest(uuid, uuid) IS
'Keyed hashes of the addresses that are a guest''s alone, today''s and earlier ones.';
REVOKE ALL ON FUNCTION internal.addresses_of_guest(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.addresses_of_guest(uuid, uuid) TO comms_maintenance;
