CREATE OR REPLACE FUNCTION internal.is_time_zone(p_name text) RETURNS boolean
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Whether this is a time zone by its IANA name. pg_timezone_names would read hundreds of files to tell;
   the pattern keeps out what PostgreSQL understands besides: abbreviations and POSIX rules like X3. */
BEGIN
    IF p_name !~ '^(UTC|GMT|Etc/GMT[+-]\d{1,2}|[A-Za-z]+(/[A-Za-z_-]+){1,2})$' THEN
        RETURN false;
    END IF;
    PERFORM timezone(p_name, 'epoch'::timestamptz);
    RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN false;
END
$plpgsql$;

COMMENT ON FUNCTION internal.is_time_zone(text) IS 'Whether this is a time zone by its IANA name.';
REVOKE ALL ON FUNCTION internal.is_time_zone(text) FROM PUBLIC;
