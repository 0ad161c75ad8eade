CREATE OR REPLACE FUNCTION internal.guests_with_address(p_organization_id uuid, p_channel text, p_address_hash bytea)
RETURNS TABLE (guest_id uuid, email text)
LANGUAGE sql STABLE ROWS 2
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The guests who have an address, in order of their age: couples share one. Not whole rows: a call that meets a
       new column of guests on its way would end with an error. */
    SELECT guest.guest_id, guest.email FROM public.guests AS guest
    WHERE
        guest.organization_id = p_organization_id AND guest.email_hash = p_address_hash AND p_channel = 'email'
    UNION ALL
    SELECT guest.guest_id, guest.email FROM public.guests AS guest
    WHERE
        guest.organization_id = p_organization_id AND guest.phone_hash = p_address_hash AND p_channel = 'sms'
    UNION ALL
    SELECT guest.guest_id, guest.email FROM public.guests AS guest
    WHERE
        guest.organization_id = p_organization_id AND guest.push_hash = p_address_hash AND p_channel = 'push'
    ORDER BY 1
$sql$;

COMMENT ON FUNCTION internal.guests_with_address(uuid, text, bytea) IS 'The guests who have an address, by its hash.';
REVOKE ALL ON FUNCTION internal.guests_with_address(uuid, text, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.guests_with_address(uuid, text, bytea) TO comms_maintenance;
