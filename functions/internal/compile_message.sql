CREATE OR REPLACE FUNCTION internal.compile_message(p_channel text, p_subject text, p_body text, p_body_text text)
RETURNS TABLE (compiled jsonb, variables text[])
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Compile the texts of a message: {"subject": [segments], "body": […], "body_text": […]} as far as
   they are given, and the names of the variables that every recipient has to have.
   Raises what check_message_texts() raises, and GC320 for what is wrong in a text. */
DECLARE
    v_texts CONSTANT jsonb := jsonb_strip_nulls(
        jsonb_build_object('subject', p_subject, 'body', p_body, 'body_text', p_body_text)
    );
BEGIN
    PERFORM internal.check_message_texts(p_channel, p_subject, p_body, p_body_text);
    RETURN QUERY
    WITH done AS MATERIALIZED (
        SELECT parts.part, made.segments, made.required
        FROM internal.message_parts(p_channel) AS parts
        CROSS JOIN LATERAL internal.compile_part(parts.part, parts.escaping, v_texts ->> parts.part) AS made
        WHERE v_texts ? parts.part
    )
    SELECT
        (SELECT jsonb_object_agg(done.part, done.segments) FROM done),
        ARRAY(SELECT DISTINCT needed.name FROM done, unnest(done.required) AS needed (name) ORDER BY needed.name);
END
$plpgsql$;

COMMENT ON FUNCTION internal.compile_message(text, text, text, text) IS
'Check the texts of a message and cut them into segments, so that rendering parses nothing.';
REVOKE ALL ON FUNCTION internal.compile_message(text, text, text, text) FROM PUBLIC;
