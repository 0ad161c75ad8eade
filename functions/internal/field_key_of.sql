CREATE OR REPLACE FUNCTION internal.field_key_of(p_organization_id uuid, p_key_version integer) RETURNS bytea
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The key that encrypted fields of an organization under this version; GC212 if there is none. */
    SELECT internal.data_key_of(p_organization_id, 'fields', p_key_version)
$sql$;

COMMENT ON FUNCTION internal.field_key_of(uuid, integer) IS
'The key that encrypted fields of an organization under this version.';
REVOKE ALL ON FUNCTION internal.field_key_of(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.field_key_of(uuid, integer) TO comms_maintenance;
