CREATE OR REPLACE FUNCTION internal.key_problem(p_key public.communication_encryption_keys) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Why a key cannot be opened on this machine; NULL if it can, or if it was destroyed. The key goes nowhere. */
DECLARE
    v_context constant bytea := internal.key_context(
        p_key.organization_id, p_key.key_id, p_key.key_type, p_key.purpose, p_key.key_version
    );
BEGIN
    IF p_key.state = 'destroyed' THEN
        RETURN NULL;
    ELSIF p_key.key_type = 'data' THEN
        PERFORM internal.aes256_gcm_decrypt(
            internal.master_key(p_key.parent_key_id), p_key.encrypted_key, v_context
        );
    ELSE
        PERFORM internal.unwrap_key(p_key.encrypted_key, v_context);
    END IF;
    RETURN NULL;
EXCEPTION WHEN SQLSTATE 'GC202' OR SQLSTATE 'GC203' OR SQLSTATE 'GC211' THEN
    RETURN SQLERRM;
END
$plpgsql$;

COMMENT ON FUNCTION internal.key_problem(public.communication_encryption_keys) IS
'Why a key cannot be opened on this machine; NULL if it can.';
REVOKE ALL ON FUNCTION internal.key_problem(public.communication_encryption_keys) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.key_problem(public.communication_encryption_keys) TO comms_maintenance;
