CREATE OR REPLACE FUNCTION public.rewrap_master_keys(p_old_key bytea)
RETURNS TABLE (rewrapped bigint, already_open bigint, closed bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* After the key-encryption key of the machines was replaced: wrap what the old one had wrapped, the masters and the
   platform's other keys, again under the new one. Data keys are under the masters, so no other row changes. p_old_key
   is the old one, 32 bytes, from escrow; pass it as a parameter, for parameters are never logged and statements are.
   Returns how many keys were wrapped again, how many opened already, and how many open under neither. An interrupted
   call changed nothing; a repeated one finds what is left.
   Raises GC300 for NULL, GC201 for another length than 32 bytes, GC203 if the machine has no key-encryption key. */
DECLARE
    v_key public.communication_encryption_keys;
    v_context bytea;
BEGIN
    -- See master_key().
    PERFORM set_config('debug_print_plan', 'off', true);
    IF p_old_key IS NULL THEN
        RAISE EXCEPTION 'p_old_key is NULL' USING ERRCODE = 'GC300', HINT = 'Give the old key-encryption key.';
    ELSIF length(p_old_key) <> 32 THEN
        RAISE EXCEPTION 'a key-encryption key has 32 bytes, this one has %', length(p_old_key)
        USING ERRCODE = 'GC201', HINT = 'In escrow it is in base64: decode(…, ''base64'').';
    END IF;
    rewrapped := 0;
    already_open := 0;
    closed := 0;
    FOR v_key IN
        SELECT one.*
        FROM public.communication_encryption_keys AS one
        WHERE
            one.organization_id = '00000000-0000-0000-0000-000000000000' AND one.key_type <> 'data'
            AND one.state <> 'destroyed'
        ORDER BY one.key_id
        FOR NO KEY UPDATE
    LOOP
        IF internal.key_problem(v_key) IS NULL THEN
            already_open := already_open + 1;
            CONTINUE;
        END IF;
        v_context := internal.key_context(
            v_key.organization_id, v_key.key_id, v_key.key_type, v_key.purpose, v_key.key_version
        );
        BEGIN
            UPDATE public.communication_encryption_keys AS one
            SET
                encrypted_key = internal.wrap_key(
                    internal.aes256_gcm_decrypt(p_old_key, v_key.encrypted_key, v_context), v_context
                )
            WHERE one.organization_id = v_key.organization_id AND one.key_id = v_key.key_id;
            rewrapped := rewrapped + 1;
        EXCEPTION WHEN SQLSTATE 'GC202' THEN
            closed := closed + 1;
        END;
    END LOOP;
    IF rewrapped > 0 THEN
        PERFORM internal.record_security_event(
            NULL, 'key_rotation', SESSION_USER, NULL, true,
            jsonb_build_object('key_type', 'key_encryption', 'rewrapped', rewrapped, 'remaining', closed)
        );
    END IF;
    RETURN NEXT;
END
$plpgsql$;

COMMENT ON FUNCTION public.rewrap_master_keys(bytea) IS
'After the key-encryption key was replaced: wrap the masters again, under the new one.';
REVOKE ALL ON FUNCTION public.rewrap_master_keys(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.rewrap_master_keys(bytea) TO comms_ops;
