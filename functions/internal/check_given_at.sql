CREATE OR REPLACE FUNCTION internal.check_given_at(p_given_at timestamptz, p_now timestamptz) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Refuse (GC406) a moment at which consent cannot have been given: after p_now, or before 2000. NULL is none. */
BEGIN
    IF p_given_at > p_now OR p_given_at < '2000-01-01 00:00:00+00' THEN
        RAISE EXCEPTION 'consent cannot have been given at %', p_given_at
        USING ERRCODE = 'GC406', HINT = 'Give a moment in the past, or NULL for now.';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.check_given_at(timestamptz, timestamptz) IS
'Refuse a moment at which consent cannot have been given.';
REVOKE ALL ON FUNCTION internal.check_given_at(timestamptz, timestamptz) FROM PUBLIC;
