CREATE OR REPLACE FUNCTION internal.address_hash_pads(p_organization_id uuid)
RETURNS TABLE (inner_pad bytea, outer_pad bytea)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The organization's key of address hashes, prepared for keyed_hash(). Raises what data_key() raises. */
    SELECT pads.inner_pad, pads.outer_pad FROM internal.hash_pads(p_organization_id, 'address_hash') AS pads
$sql$;

COMMENT ON FUNCTION internal.address_hash_pads(uuid) IS
'The organization''s key of address hashes, prepared for keyed_hash().';
REVOKE ALL ON FUNCTION internal.address_hash_pads(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.address_hash_pads(uuid) TO comms_maintenance;
