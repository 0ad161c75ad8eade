CREATE OR REPLACE FUNCTION public.request_backup_check(p_kind text)
RETURNS public.communication_backup_checks
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Ask for a check of the backup repository: wal_audit (is the WAL from the oldest full backup to now complete?)
   or verification (is every stored file what it was?). Returns its row, or the one that waits already; the node
   agent makes the check and completes the row. Raises GC101 for another kind. */
DECLARE
    v_check public.communication_backup_checks;
BEGIN
    IF p_kind IS NULL OR p_kind NOT IN ('wal_audit', 'verification') THEN
        RAISE EXCEPTION 'there is no check "%" of backups', p_kind
        USING ERRCODE = 'GC101', HINT = 'Ask for wal_audit or verification.';
    END IF;
    -- A request that an agent claims between the two statements is not found: then a new one is made.
    LOOP
        INSERT INTO public.communication_backup_checks (check_id, kind)
        VALUES ('check_' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS_US'), p_kind)
        ON CONFLICT DO NOTHING
        RETURNING * INTO v_check;
        EXIT WHEN FOUND;
        SELECT waiting.* INTO v_check
        FROM public.communication_backup_checks AS waiting
        WHERE waiting.kind = p_kind AND waiting.status = 'requested';
        EXIT WHEN FOUND;
    END LOOP;
    PERFORM pg_notify('guestcomms_backup', v_check.check_id);
    RETURN v_check;
END
$plpgsql$;

COMMENT ON FUNCTION public.request_backup_check(text) IS
'Ask for a wal_audit or a verification of the backup repository; the node agent completes the row returned.';
REVOKE ALL ON FUNCTION public.request_backup_check(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.request_backup_check(text) TO comms_ops, comms_maintenance;
