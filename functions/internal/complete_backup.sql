CREATE OR REPLACE FUNCTION internal.complete_backup(
    p_backup_id text, p_node text, p_attempt bigint, p_result jsonb
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Record what pgBackRest stored. Keys of p_result: label, type (full, incr, diff), backup_size_bytes,
   repository_size_bytes, lsn_start, lsn_stop, wal_start, wal_stop, started_at, completed_at,
   checksum_errors; and evidence, the document of the run. The row's type becomes what was made: pgBackRest takes a full backup when there is
   none that the one asked for could build on.
   Asks for an audit of the WAL, and for a verification where there has been none.
   Repeating it with the same label changes nothing. Raises GC103 if this attempt does not have the
   backup, GC104 if a key is missing or none of the ledger's values. */
DECLARE
    v_missing text;
    v_constraint text;
BEGIN
    IF EXISTS (
        SELECT FROM public.communication_backups AS done
        WHERE done.backup_id = p_backup_id AND done.node = p_node AND done.attempts = p_attempt
            AND done.status IN ('completed', 'expired') AND done.label = p_result ->> 'label'
    ) THEN
        RETURN;
    END IF;
    SELECT string_agg(wanted.key, ', ') INTO v_missing
    FROM unnest(ARRAY[
        'label', 'type', 'backup_size_bytes', 'repository_size_bytes', 'lsn_start', 'lsn_stop',
        'wal_start', 'wal_stop', 'started_at', 'completed_at', 'checksum_errors'
    ]) AS wanted (key)
    WHERE p_result ->> wanted.key IS NULL;
    IF p_result IS NULL OR v_missing IS NOT NULL THEN
        RAISE EXCEPTION 'the result of backup % lacks %', p_backup_id, coalesce(v_missing, 'everything')
        USING ERRCODE = 'GC104', HINT = 'Take the values from `pgbackrest info --output=json`.';
    END IF;
    UPDATE public.communication_backups AS done
    SET status = 'completed', lease_until = NULL, error = NULL,
        backup_type = CASE p_result ->> 'type'
            WHEN 'incr' THEN 'incremental' WHEN 'diff' THEN 'differential' ELSE p_result ->> 'type'
        END,
        label = p_result ->> 'label',
        backup_size_bytes = (p_result ->> 'backup_size_bytes')::bigint,
        repository_size_bytes = (p_result ->> 'repository_size_bytes')::bigint,
        lsn_start = (p_result ->> 'lsn_start')::pg_lsn, lsn_stop = (p_result ->> 'lsn_stop')::pg_lsn,
        wal_start = p_result ->> 'wal_start', wal_stop = p_result ->> 'wal_stop',
        started_at = (p_result ->> 'started_at')::timestamptz,
        completed_at = (p_result ->> 'completed_at')::timestamptz,
        checksum_errors = (p_result ->> 'checksum_errors')::bigint, evidence = p_result -> 'evidence',
        row_count = internal.live_rows()
    WHERE done.backup_id = p_backup_id AND done.node = p_node AND done.attempts = p_attempt
        AND done.status = 'running';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of backup % is not running on %', p_attempt, p_backup_id, p_node
        USING ERRCODE = 'GC103', HINT = 'Its lease ended and another attempt followed; this result is dropped.';
    END IF;
    -- A backup is of use with the WAL that it needs: look at once. The first one is read as well.
    PERFORM public.request_backup_check(wanted.kind)
    FROM (
        VALUES ('wal_audit', true),
        (
            'verification', NOT EXISTS (
                SELECT FROM public.communication_backup_checks AS checked WHERE checked.kind = 'verification'
            )
        )
    ) AS wanted (kind, is_due)
    WHERE wanted.is_due;
EXCEPTION
    WHEN check_violation OR unique_violation OR data_exception THEN
        GET STACKED DIAGNOSTICS v_constraint = MESSAGE_TEXT;
        RAISE EXCEPTION 'the result of backup % is not usable: %', p_backup_id, v_constraint
        USING ERRCODE = 'GC104', HINT = 'Take the values from `pgbackrest info --output=json`.';
END
$plpgsql$;

COMMENT ON FUNCTION internal.complete_backup(text, text, bigint, jsonb) IS
'Record what pgBackRest stored for a running backup of this machine.';
REVOKE ALL ON FUNCTION internal.complete_backup(text, text, bigint, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.complete_backup(text, text, bigint, jsonb) TO comms_agent;
