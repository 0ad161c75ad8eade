CREATE OR REPLACE FUNCTION internal.template_problem(
    p_channel text, p_subject text, p_body text, p_body_text text, p_compiled jsonb
) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Why these texts do not compile, or that they compile to something else than p_compiled; NULL: all is well. */
DECLARE
    v_compiled jsonb;
BEGIN
    SELECT made.compiled INTO v_compiled
    FROM internal.compile_message(p_channel, p_subject, p_body, p_body_text) AS made;
    IF v_compiled IS DISTINCT FROM p_compiled THEN
        RETURN 'compiles to something else than what is stored';
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END
$plpgsql$;

COMMENT ON FUNCTION internal.template_problem(text, text, text, text, jsonb) IS
'Why texts of a template do not compile to what is stored; NULL: they do.';
REVOKE ALL ON FUNCTION internal.template_problem(text, text, text, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.template_problem(text, text, text, text, jsonb) TO comms_maintenance;
