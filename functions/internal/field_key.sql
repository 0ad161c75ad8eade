CREATE OR REPLACE FUNCTION internal.field_key(p_organization_id uuid)
RETURNS TABLE (key bytea, key_version integer)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The key that encrypts fields of an organization, see data_key(). Call it once per statement, not per row. */
    SELECT made.key, made.key_version FROM internal.data_key(p_organization_id, 'fields') AS made
$sql$;

COMMENT ON FUNCTION internal.field_key(uuid) IS 'The key that encrypts fields of an organization, and its version.';
REVOKE ALL ON FUNCTION internal.field_key(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.field_key(uuid) TO comms_maintenance;
