CREATE OR REPLACE FUNCTION internal.refuse_template(
    p_part text, p_before text, p_problem text, p_hint text
) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Raises GC320 with part, line and column, counted from 1, of what comes after p_before. */
BEGIN
    RAISE EXCEPTION '%, line %, column %: %',
        p_part, 1 + regexp_count(p_before, '\n'), 1 + length(substring(p_before FROM '[^\n]*$')), p_problem
    USING ERRCODE = 'GC320', HINT = p_hint;
END
$plpgsql$;

COMMENT ON FUNCTION internal.refuse_template(text, text, text, text) IS
'Raise the error of a template that cannot be compiled, with its place.';
REVOKE ALL ON FUNCTION internal.refuse_template(text, text, text, text) FROM PUBLIC;
