CREATE OR REPLACE FUNCTION internal.readiness_full_backup(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* A whole backup of the last day is in the repository, and it found no damaged page. */
DECLARE
    v_completed_at timestamptz;
    v_checksum_errors bigint;
BEGIN
    SELECT backup.completed_at, backup.checksum_errors INTO v_completed_at, v_checksum_errors
    FROM public.communication_backups AS backup
    WHERE backup.backup_type = 'full' AND backup.status = 'completed'
    ORDER BY backup.completed_at DESC LIMIT 1;
    SELECT
        CASE
            WHEN v_checksum_errors = 0 AND v_completed_at > now() - interval '26 hours' THEN 'pass'
            ELSE 'fail'
        END,
        CASE
            WHEN v_completed_at IS NULL THEN 'none'
            ELSE format('%s, %s damaged pages', v_completed_at, v_checksum_errors)
        END,
        'less than 26 hours old, 0 damaged pages',
        'Run `guestcomms backup run full`, and read the error of the last failed row of communication_backups.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_full_backup() IS 'Readiness: a whole backup of the last day is stored.';
REVOKE ALL ON FUNCTION internal.readiness_full_backup() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_full_backup() TO comms_ops, comms_monitor;
