CREATE OR REPLACE FUNCTION internal.key_of_address(p_address_hash bytea) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
/* The key of a recipient who is no guest: half of the hash, marked as a UUIDv8 (RFC 9562, 5.8). */
RETURN overlay(
    overlay(left(encode(p_address_hash, 'hex'), 32) PLACING '8' FROM 13 FOR 1) PLACING '8' FROM 17 FOR 1
)::uuid;

COMMENT ON FUNCTION internal.key_of_address(bytea) IS 'The key of a recipient who is no guest, from his address.';
REVOKE ALL ON FUNCTION internal.key_of_address(bytea) FROM PUBLIC;
