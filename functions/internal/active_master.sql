CREATE OR REPLACE FUNCTION internal.active_master() RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* The name of the master key that wraps new keys. The first one is made here, when it is needed: migrations
   also run where no key-encryption key is. Raises GC203 if it is needed and there is none. */
DECLARE
    v_key_id text;
BEGIN
    FOR v_try IN 1 .. 2 LOOP
        SELECT master.key_id INTO v_key_id
        FROM public.communication_encryption_keys AS master
        WHERE
            master.organization_id = '00000000-0000-0000-0000-000000000000'
            AND master.key_type = 'master' AND master.state = 'active';
        IF FOUND THEN
            RETURN v_key_id;
        END IF;
        -- Two at once: the second waits, and finds the key of the first.
        PERFORM pg_advisory_xact_lock(hashtextextended('internal.active_master', 0));
    END LOOP;
    INSERT INTO public.communication_encryption_keys (key_id, key_type, encrypted_key, key_version)
    SELECT
        'master_key_' || to_char(now(), 'YYYYMMDDHH24MISS'), 'master',
        public.encrypt_key(public.generate_random_key()), coalesce(max(older.key_version), 0) + 1
    FROM public.communication_encryption_keys AS older
    WHERE older.organization_id = '00000000-0000-0000-0000-000000000000' AND older.key_type = 'master'
    RETURNING key_id INTO v_key_id;
    RETURN v_key_id;
END
$plpgsql$;

COMMENT ON FUNCTION internal.active_master() IS
'The name of the master key that wraps new keys; the first one is made when it is needed.';
REVOKE ALL ON FUNCTION internal.active_master() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.active_master() TO comms_maintenance;
