CREATE OR REPLACE FUNCTION internal.adopt_backups(p_stored jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Bring into the ledger what the repository holds and the ledger does not know: after a restore its rows are those of
   the moment that was restored, and the repository is the truth. p_stored is an array of what complete_backup() takes,
   each with backup_id (NULL where the backup names none). A row that failed although its backup is stored is completed;
   one that is requested or running is left to its agent. Returns how many rows changed.
   Raises GC104 if a key is missing or none of the ledger's values. */
DECLARE
    v_changed bigint;
    v_message text;
BEGIN
    IF jsonb_typeof(p_stored) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'the backups in the repository are not given'
        USING ERRCODE = 'GC104', HINT = 'Give an array; an empty one means that the repository is empty.';
    END IF;
    INSERT INTO public.communication_backups AS known (
        backup_id, backup_type, status, requested_at, requested_by, started_at, completed_at, label,
        backup_size_bytes, repository_size_bytes, lsn_start, lsn_stop, wal_start, wal_stop, checksum_errors
    )
    SELECT
        coalesce(
            stored.backup_id,
            'backup_' || to_char(stored.started_at AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS_')
            || CASE stored.type WHEN 'full' THEN '000000' ELSE '000001' END
        ),
        CASE stored.type WHEN 'incr' THEN 'incremental' WHEN 'diff' THEN 'differential' ELSE stored.type END,
        'completed', stored.started_at, 'repository', stored.started_at, stored.completed_at, stored.label,
        stored.backup_size_bytes, stored.repository_size_bytes, stored.lsn_start, stored.lsn_stop,
        stored.wal_start, stored.wal_stop, stored.checksum_errors
    FROM jsonb_to_recordset(p_stored) AS stored (
        backup_id text, type text, label text, started_at timestamptz, completed_at timestamptz,
        backup_size_bytes bigint, repository_size_bytes bigint, lsn_start pg_lsn, lsn_stop pg_lsn,
        wal_start text, wal_stop text, checksum_errors bigint
    )
    WHERE NOT EXISTS (
        SELECT FROM public.communication_backups AS listed WHERE listed.label = stored.label
    )
    ON CONFLICT (backup_id) DO UPDATE
    SET status = 'completed', error = NULL, failed_at = NULL, label = excluded.label,
        backup_type = excluded.backup_type, started_at = excluded.started_at, completed_at = excluded.completed_at,
        backup_size_bytes = excluded.backup_size_bytes, repository_size_bytes = excluded.repository_size_bytes,
        lsn_start = excluded.lsn_start, lsn_stop = excluded.lsn_stop, wal_start = excluded.wal_start,
        wal_stop = excluded.wal_stop, checksum_errors = excluded.checksum_errors, requested_by = 'repository'
    WHERE known.status = 'failed';
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
EXCEPTION
    WHEN check_violation OR unique_violation OR not_null_violation OR data_exception THEN
        GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT;
        RAISE EXCEPTION 'what the repository holds is not usable: %', v_message
        USING ERRCODE = 'GC104', HINT = 'Take the values from `pgbackrest info --output=json`.';
END
$plpgsql$;

COMMENT ON FUNCTION internal.adopt_backups(jsonb) IS
'Bring into the ledger the backups that the repository holds and the ledger does not know, as after a restore.';
REVOKE ALL ON FUNCTION internal.adopt_backups(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.adopt_backups(jsonb) TO comms_agent;
