CREATE OR REPLACE FUNCTION internal.address_hash(p_organization_id uuid, p_channel text, p_address text) RETURNS bytea
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The keyed hash by which an organization recognises one address; NULL for NULL. For many addresses, call
       address_hash_pads() once and keyed_hash(…, channel || ':' || normalise_address(channel, address)). */
    SELECT
        internal.keyed_hash(
            pads.inner_pad, pads.outer_pad, p_channel || ':' || internal.normalise_address(p_channel, p_address)
        )
    FROM internal.address_hash_pads(p_organization_id) AS pads
$sql$;

COMMENT ON FUNCTION internal.address_hash(uuid, text, text) IS
'The keyed hash by which an organization recognises one address.';
REVOKE ALL ON FUNCTION internal.address_hash(uuid, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.address_hash(uuid, text, text) TO comms_maintenance;
