CREATE OR REPLACE FUNCTION internal.rotate_master(p_before timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Make a new master if the active one has been that since p_before or longer. Returns how many it made, 0 or 1.
   The trigger of the table retires the one before. */
DECLARE
    v_made bigint;
BEGIN
    PERFORM internal.active_master(); -- the first is made there
    PERFORM pg_advisory_xact_lock(hashtextextended('internal.active_master', 0));
    INSERT INTO public.communication_encryption_keys (key_id, key_type, encrypted_key, key_version)
    SELECT
        'master_key_' || (newest.key_version + 1)::text || to_char(clock_timestamp(), '_YYYYMMDD'), 'master',
        public.encrypt_key(public.generate_random_key()), newest.key_version + 1
    FROM public.communication_encryption_keys AS newest
    WHERE
        newest.organization_id = '00000000-0000-0000-0000-000000000000' AND newest.key_type = 'master'
        AND newest.state = 'active' AND newest.activated_at <= p_before;
    GET DIAGNOSTICS v_made = ROW_COUNT;
    RETURN v_made;
END
$plpgsql$;

COMMENT ON FUNCTION internal.rotate_master(timestamptz) IS 'Make a new master if the active one is older.';
REVOKE ALL ON FUNCTION internal.rotate_master(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.rotate_master(timestamptz) TO comms_maintenance;
