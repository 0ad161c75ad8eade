CREATE OR REPLACE FUNCTION public.encrypt_key(p_key bytea) RETURNS bytea
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* A key under the key-encryption key of the machine, to be inserted into communication_encryption_keys.
   This function does not know the row that it is for, so it wraps for no row at all: a value of it opens
   nowhere but in the trigger of that table, which seals the key again for its row.
   Raises GC300 for NULL, GC201 for another length than 32 bytes, GC203 if the key-encryption key cannot be read. */
BEGIN
    IF p_key IS NULL THEN
        RAISE EXCEPTION 'p_key is NULL'
        USING ERRCODE = 'GC300', HINT = 'Write encrypt_key(generate_random_key()).';
    END IF;
    RETURN internal.wrap_key(p_key, convert_to('guestcomms key without a row', 'UTF8'));
END
$plpgsql$;

COMMENT ON FUNCTION public.encrypt_key(bytea) IS
'A key wrapped under the key-encryption key of the machine, to be inserted into communication_encryption_keys.';
REVOKE ALL ON FUNCTION public.encrypt_key(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.encrypt_key(bytea) TO comms_ops, comms_maintenance;
