CREATE OR REPLACE FUNCTION internal.key_context(
    p_organization_id uuid, p_key_id text, p_key_type text, p_purpose text, p_key_version integer
) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
/* What a wrapped key is bound to: it opens in its own row only, and only as what it was made for. */
RETURN pg_catalog.uuid_send(p_organization_id) || pg_catalog.sha256(
    pg_catalog.convert_to(
        'guestcomms key/' || p_key_type || '/' || p_purpose || '/' || p_key_version::text || '/' || p_key_id, 'UTF8'
    )
);

COMMENT ON FUNCTION internal.key_context(uuid, text, text, text, integer) IS
'Associated data of a wrapped key: organization, type, purpose, version and name.';
REVOKE ALL ON FUNCTION internal.key_context(uuid, text, text, text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.key_context(uuid, text, text, text, integer) TO comms_maintenance;
