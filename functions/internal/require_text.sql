CREATE OR REPLACE FUNCTION internal.require_text(p_name text, p_value text, p_longest integer, p_sqlstate text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Refuse a text that is blank, too long or has control characters other than line breaks and tabs. NULL passes.
   Raises the SQLSTATE that it is given. */
BEGIN
    IF
        p_value ~ '^\s*$' OR length(p_value) > p_longest
        OR translate(p_value, E'\t\n\r', '') ~ '[\u0001-\u001f\u007f-\u009f]'
    THEN
        RAISE EXCEPTION '% is blank, longer than % characters or has control characters', p_name, p_longest
        USING ERRCODE = p_sqlstate, HINT = 'Give a readable text, or NULL where it may be left out.';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.require_text(text, text, integer, text) IS
'Refuse a text that is blank, too long or has control characters, with the SQLSTATE given.';
REVOKE ALL ON FUNCTION internal.require_text(text, text, integer, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.require_text(text, text, integer, text) TO comms_maintenance;
