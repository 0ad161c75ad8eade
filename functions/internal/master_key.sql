CREATE OR REPLACE FUNCTION internal.master_key(p_key_id text) RETURNS bytea
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* A master key, opened with the key-encryption key of the machine.
   Raises GC211 if there is none of this name, GC203 without a key-encryption key, GC202 under another one. */
DECLARE
    v_key bytea;
BEGIN
    -- Callers have keys in variables from now on. Those are constants of plans, which any session may have printed.
    PERFORM set_config('debug_print_plan', 'off', true);
    SELECT
        internal.unwrap_key(
            master.encrypted_key,
            internal.key_context(
                master.organization_id, master.key_id, master.key_type, master.purpose, master.key_version
            )
        )
    INTO v_key
    FROM public.communication_encryption_keys AS master
    WHERE
        master.organization_id = '00000000-0000-0000-0000-000000000000' AND master.key_id = p_key_id
        AND master.key_type = 'master';
    IF v_key IS NULL THEN
        RAISE EXCEPTION 'there is no master key "%", or it was destroyed', p_key_id
        USING ERRCODE = 'GC211', HINT = 'encryption_status() shows which keys it wraps.';
    END IF;
    RETURN v_key;
END
$plpgsql$;

COMMENT ON FUNCTION internal.master_key(text) IS 'A master key, opened. Nobody but our own functions may call it.';
REVOKE ALL ON FUNCTION internal.master_key(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.master_key(text) TO comms_maintenance;
