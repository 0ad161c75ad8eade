CREATE OR REPLACE FUNCTION internal.require_period(p_from timestamptz, p_until timestamptz) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Refuse a period that is none: GC300 for NULL, GC421 if it has no end or ends before it begins. */
BEGIN
    PERFORM internal.require_given(jsonb_build_object('p_from', p_from, 'p_until', p_until));
    IF NOT isfinite(p_from) OR NOT isfinite(p_until) OR p_from >= p_until THEN
        RAISE EXCEPTION 'from % until % is no period', p_from, p_until
        USING ERRCODE = 'GC421', HINT = 'Give two moments, the earlier one first.';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.require_period(timestamptz, timestamptz) IS 'Refuse a period that is none (GC421).';
REVOKE ALL ON FUNCTION internal.require_period(timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.require_period(timestamptz, timestamptz) TO comms_maintenance;
