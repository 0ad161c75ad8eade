CREATE OR REPLACE FUNCTION internal.consent_subject(
    p_organization_id uuid, p_address text, p_channel text, p_purpose text
) RETURNS bytea
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Whom consent is about: the keyed hash of an address, once address, channel and purpose are in order.
   Raises GC300 for NULL, GC400 for a channel, GC401 for an address, GC402 for a purpose that cannot be. */
BEGIN
    PERFORM internal.check_consent_subject(p_address, p_channel, p_purpose);
    RETURN internal.address_hash(p_organization_id, p_channel, p_address);
END
$plpgsql$;

COMMENT ON FUNCTION internal.consent_subject(uuid, text, text, text) IS
'The keyed hash of an address that is in order; refuses channel, address or purpose that are not.';
REVOKE ALL ON FUNCTION internal.consent_subject(uuid, text, text, text) FROM PUBLIC;
