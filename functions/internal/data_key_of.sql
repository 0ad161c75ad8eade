CREATE OR REPLACE FUNCTION internal.data_key_of(p_organization_id uuid, p_purpose text, p_key_version integer)
RETURNS bytea
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* The key of one version, opened, to read what it encrypted. It reads with the rights of its caller, see data_key().
   Raises GC212 if there is none or it was destroyed, GC211, GC202 or GC203 if it cannot be opened. */
DECLARE
    v_key bytea;
BEGIN
    SELECT
        internal.aes256_gcm_decrypt(
            internal.master_key(one.parent_key_id), one.encrypted_key,
            internal.key_context(one.organization_id, one.key_id, one.key_type, one.purpose, one.key_version)
        )
    INTO v_key
    FROM public.communication_encryption_keys AS one
    WHERE
        one.organization_id = p_organization_id AND one.key_type = 'data' AND one.purpose = p_purpose
        AND one.key_version = p_key_version;
    IF v_key IS NULL THEN
        RAISE EXCEPTION 'organization % has no key "%" of version %, or it was destroyed',
            p_organization_id, p_purpose, p_key_version
        USING ERRCODE = 'GC212', HINT = 'What it encrypted cannot be read; encryption_status() lists what there is.';
    END IF;
    RETURN v_key;
END
$plpgsql$;

COMMENT ON FUNCTION internal.data_key_of(uuid, text, integer) IS 'The key of one version, opened.';
REVOKE ALL ON FUNCTION internal.data_key_of(uuid, text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.data_key_of(uuid, text, integer) TO comms_maintenance;
