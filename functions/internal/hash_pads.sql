CREATE OR REPLACE FUNCTION internal.hash_pads(p_organization_id uuid, p_purpose text)
RETURNS TABLE (inner_pad bytea, outer_pad bytea)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The organization's key for a purpose as HMAC uses it (RFC 2104): padded to 64 bytes and XORed. Made once a
       statement, it leaves two plain hashes a message for keyed_hash(). Raises what data_key() raises. */
    SELECT
        string_agg(set_byte('\x00', 0, octet.value # 54), '' ORDER BY octet.place),
        string_agg(set_byte('\x00', 0, octet.value # 92), '' ORDER BY octet.place)
    FROM internal.data_key(p_organization_id, p_purpose) AS made
    CROSS JOIN LATERAL (
        SELECT place, CASE WHEN place < 32 THEN get_byte(made.key, place) ELSE 0 END AS value
        FROM generate_series(0, 63) AS place
    ) AS octet
$sql$;

COMMENT ON FUNCTION internal.hash_pads(uuid, text) IS
'The organization''s key for a purpose, prepared for keyed_hash().';
REVOKE ALL ON FUNCTION internal.hash_pads(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.hash_pads(uuid, text) TO comms_maintenance;
