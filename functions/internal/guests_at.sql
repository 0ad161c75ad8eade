CREATE OR REPLACE FUNCTION internal.guests_at(p_organization_id uuid, p_channel text, p_address_hash bytea)
RETURNS SETOF public.guests
LANGUAGE sql STABLE ROWS 2
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The guests who have an address, in order of their age: couples share one.
       No standard body: its columns would be those of the day when it was made, and a new one an error. */
    SELECT guest.* FROM public.guests AS guest
    WHERE
        guest.organization_id = p_organization_id AND guest.email_hash = p_address_hash AND p_channel = 'email'
    UNION ALL
    SELECT guest.* FROM public.guests AS guest
    WHERE
        guest.organization_id = p_organization_id AND guest.phone_hash = p_address_hash AND p_channel = 'sms'
    UNION ALL
    SELECT guest.* FROM public.guests AS guest
    WHERE
        guest.organization_id = p_organization_id AND guest.push_hash = p_address_hash AND p_channel = 'push'
    ORDER BY guest_id
$sql$;

COMMENT ON FUNCTION internal.guests_at(uuid, text, bytea) IS 'The guests who have an address, by its hash.';
REVOKE ALL ON FUNCTION internal.guests_at(uuid, text, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.guests_at(uuid, text, bytea) TO comms_maintenance;
