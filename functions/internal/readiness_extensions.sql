CREATE OR REPLACE FUNCTION internal.readiness_extensions(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* What the functions, the schedules and the monitoring build on is installed. */
DECLARE
    v_missing text;
BEGIN
    SELECT string_agg(wanted.name, ', ' ORDER BY wanted.name) INTO v_missing
    FROM unnest(ARRAY[
        'amcheck', 'pg_cron', 'pg_partman', 'pg_stat_statements', 'pg_wait_sampling', 'pgaudit', 'plpython3u'
    ]) AS wanted (name)
    WHERE NOT EXISTS (SELECT FROM pg_extension AS extension WHERE extension.extname = wanted.name);
    SELECT
        CASE WHEN v_missing IS NULL THEN 'pass' ELSE 'fail' END,
        coalesce('missing: ' || v_missing, 'all installed'),
        'all installed',
        'The superuser bootstrap creates them: `systemctl restart guestcomms-bootstrap` on the leader.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_extensions() IS 'Readiness: the extensions are installed.';
REVOKE ALL ON FUNCTION internal.readiness_extensions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_extensions() TO comms_ops, comms_monitor;
