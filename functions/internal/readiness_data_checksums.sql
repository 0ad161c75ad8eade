CREATE OR REPLACE FUNCTION internal.readiness_data_checksums(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Damaged pages are noticed when they are read. */
BEGIN
    SELECT
        CASE WHEN current_setting('data_checksums') = 'on' THEN 'pass' ELSE 'fail' END,
        current_setting('data_checksums'),
        'on',
        'Stop the cluster and run pg_checksums --enable, or rebuild it with `initdb --data-checksums`.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_data_checksums() IS 'Readiness: damaged pages are noticed.';
REVOKE ALL ON FUNCTION internal.readiness_data_checksums() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_data_checksums() TO comms_ops, comms_monitor;
