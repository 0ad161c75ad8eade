CREATE OR REPLACE FUNCTION internal.keyed_hash(p_inner_pad bytea, p_outer_pad bytea, p_message text) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
/* HMAC-SHA256 of a text, with the pads of address_hash_pads(). NULL for NULL.
   STABLE like convert_to(): PostgreSQL inlines nothing into a function that promises more than its body. */
RETURN pg_catalog.sha256(
    p_outer_pad || pg_catalog.sha256(p_inner_pad || pg_catalog.convert_to(p_message, 'UTF8'))
);

COMMENT ON FUNCTION internal.keyed_hash(bytea, bytea, text) IS 'HMAC-SHA256 of a text, with prepared pads.';
REVOKE ALL ON FUNCTION internal.keyed_hash(bytea, bytea, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.keyed_hash(bytea, bytea, text) TO comms_maintenance;
