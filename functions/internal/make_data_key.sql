CREATE OR REPLACE FUNCTION internal.make_data_key(p_organization_id uuid, p_purpose text, p_key_version integer)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Make a data key of an organization, wrapped under the active master; nothing if there is one of this version.
   Raises GC203 if the key-encryption key cannot be read, GC217 for an organization whose keys were destroyed. */
DECLARE
    v_key_id constant text := p_purpose || '_' || p_key_version::text;
    v_master constant text := internal.active_master();
BEGIN
    IF EXISTS (
        SELECT FROM public.communication_encryption_keys AS gone
        WHERE gone.organization_id = p_organization_id AND gone.key_type = 'data' AND gone.state = 'destroyed'
    ) THEN
        RAISE EXCEPTION 'the keys of organization % were destroyed', p_organization_id
        USING ERRCODE = 'GC217', HINT = 'It is closed for good; make another one with create_organization().';
    END IF;
    INSERT INTO public.communication_encryption_keys (
        organization_id, key_id, key_type, purpose, algorithm, encrypted_key, parent_key_id, key_version
    )
    VALUES (
        p_organization_id, v_key_id, 'data', p_purpose,
        CASE WHEN p_purpose = 'fields' THEN 'AES-256-GCM' ELSE 'HMAC-SHA256' END,
        internal.aes256_gcm_encrypt(
            internal.master_key(v_master), public.generate_random_key(),
            internal.key_context(p_organization_id, v_key_id, 'data', p_purpose, p_key_version)
        ),
        v_master, p_key_version
    )
    ON CONFLICT DO NOTHING;
END
$plpgsql$;

COMMENT ON FUNCTION internal.make_data_key(uuid, text, integer) IS
'Make a data key of an organization, wrapped under the active master.';
REVOKE ALL ON FUNCTION internal.make_data_key(uuid, text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.make_data_key(uuid, text, integer) TO comms_maintenance;
