CREATE OR REPLACE FUNCTION internal.readiness_invalid_indexes(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* An index whose concurrent build failed costs writes and answers nothing. */
DECLARE
    v_invalid text;
BEGIN
    SELECT string_agg(broken.indexrelid::regclass::text, ', ' ORDER BY broken.indexrelid::regclass::text)
    INTO v_invalid
    FROM pg_index AS broken
    JOIN pg_class AS relation ON relation.oid = broken.indexrelid
    JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
    WHERE NOT broken.indisvalid AND namespace.nspname IN ('public', 'internal', 'partman');
    SELECT
        CASE WHEN v_invalid IS NULL THEN 'pass' ELSE 'fail' END,
        coalesce(v_invalid, 'none'),
        'none',
        'DROP INDEX CONCURRENTLY the index, then run its migration again.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_invalid_indexes() IS 'Readiness: no index is invalid.';
REVOKE ALL ON FUNCTION internal.readiness_invalid_indexes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_invalid_indexes() TO comms_ops, comms_monitor;
