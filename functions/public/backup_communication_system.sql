CREATE OR REPLACE FUNCTION public.backup_communication_system(p_type text) RETURNS public.communication_backups
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Ask for a backup (full, incremental, differential) and return its row in the ledger, which the node
   agent carries out. While a request of the same type waits, asking again returns that one.
   `emergency_restore` overwrites nothing: it asks for a restore to this moment beside the running cluster, whose
   copy is kept, says so in a notice, and returns the backup that it begins with.
   Raises GC101 for another type, GC145 for a restore while there is no backup. */
DECLARE
    v_backup public.communication_backups;
    v_drill public.communication_restore_drills;
BEGIN
    IF p_type = 'emergency_restore' THEN
        v_drill := public.request_restore_drill('point', NULL, true, true);
        RAISE NOTICE 'restore % is requested; the running cluster stays as it is', v_drill.drill_id
        USING HINT = 'SELECT * FROM communication_restore_drills tells how it goes; `guestcomms restore show` as well.';
        SELECT newest.* INTO v_backup
        FROM public.communication_backups AS newest
        WHERE newest.status = 'completed'
        ORDER BY newest.lsn_stop DESC LIMIT 1;
        RETURN v_backup;
    ELSIF p_type IS NULL OR p_type NOT IN ('full', 'incremental', 'differential') THEN
        RAISE EXCEPTION 'there is no backup type "%"', p_type
        USING ERRCODE = 'GC101', HINT = 'Ask for full, incremental or differential.';
    END IF;
    -- A request that an agent claims between the two statements is not found: then a new one is made.
    LOOP
        INSERT INTO public.communication_backups (backup_id, backup_type)
        VALUES (
            'backup_' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS_US'), p_type
        )
        ON CONFLICT DO NOTHING
        RETURNING * INTO v_backup;
        EXIT WHEN FOUND;
        SELECT waiting.* INTO v_backup
        FROM public.communication_backups AS waiting
        WHERE waiting.backup_type = p_type AND waiting.status = 'requested';
        EXIT WHEN FOUND;
    END LOOP;
    PERFORM pg_notify('guestcomms_backup', v_backup.backup_id);
    RETURN v_backup;
END
$plpgsql$;

COMMENT ON FUNCTION public.backup_communication_system(text) IS
'Ask for a full, incremental or differential backup; the node agent takes it and completes the row returned.';
REVOKE ALL ON FUNCTION public.backup_communication_system(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.backup_communication_system(text) TO comms_ops, comms_maintenance;
