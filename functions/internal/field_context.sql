CREATE OR REPLACE FUNCTION internal.field_context(
    p_organization_id uuid, p_column text, p_row_id uuid, p_key_version integer
) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
/* What a ciphertext is bound to: moved to another organization, row or column it does not open.
   p_column is written 'table.column'. */
RETURN pg_catalog.uuid_send(p_organization_id) || pg_catalog.uuid_send(p_row_id)
|| pg_catalog.int4send(p_key_version) || pg_catalog.convert_to(p_column, 'UTF8');

COMMENT ON FUNCTION internal.field_context(uuid, text, uuid, integer) IS
'Associated data of an encrypted field: organization, column, row and key version.';
REVOKE ALL ON FUNCTION internal.field_context(uuid, text, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.field_context(uuid, text, uuid, integer) TO comms_maintenance;
