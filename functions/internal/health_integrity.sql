CREATE OR REPLACE FUNCTION internal.health_integrity(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* The integrity checks ran in the last day and found nothing wrong. */
DECLARE
    v_checked_at timestamptz;
    v_errors text;
    v_warnings text;
BEGIN
    SELECT
        min(result.checked_at),
        string_agg(result.check_name, ', ' ORDER BY result.check_name)
            FILTER (WHERE result.found > 0 AND result.severity = 'error'),
        string_agg(result.check_name, ', ' ORDER BY result.check_name)
            FILTER (WHERE result.found > 0 AND result.severity = 'warning')
    INTO v_checked_at, v_errors, v_warnings
    FROM internal.integrity_results AS result;
    SELECT
        CASE
            WHEN v_checked_at IS NULL THEN 'unknown'
            WHEN v_errors IS NOT NULL THEN 'fail'
            WHEN v_checked_at < now() - interval '26 hours' OR v_warnings IS NOT NULL THEN 'warn'
            ELSE 'pass'
        END,
        format(
            'checked %s; errors: %s; warnings: %s', coalesce(v_checked_at::text, 'never'), coalesce(v_errors, 'none'),
            coalesce(v_warnings, 'none')
        ),
        'checked in the last 26 hours, nothing found',
        'SELECT * FROM run_integrity_checks(); then repair_integrity(check) says what a repair would do.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_integrity() IS 'Health: the data was checked in the last day and is consistent.';
REVOKE ALL ON FUNCTION internal.health_integrity() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_integrity() TO comms_ops, comms_monitor, comms_maintenance;
