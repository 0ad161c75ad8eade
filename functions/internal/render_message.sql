CREATE OR REPLACE FUNCTION internal.render_message(
    p_channel text, p_compiled jsonb, p_variables jsonb,
    OUT subject text, OUT body text, OUT body_text text, OUT problem_code text, OUT problem text
)
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Put values into a message that compile_message() has made. It raises nothing, so that one recipient
   does not spoil a batch; instead problem_code and problem are not NULL:
   GC331 variables are missing (all are named), GC332 a value is no text, number or boolean, or longer
   than 10000 characters, GC333 a control character in a value, GC334 a link to something else than
   https:, http: or mailto:.
   It runs for every recipient: a loop over segments was the fastest of what was measured. */
DECLARE
    v_part text;
    v_segments jsonb;
    v_segment jsonb;
    v_next integer;
    v_output text[];
    v_name text;
    v_value text;
    v_missing text[] := '{}'::text[];
BEGIN
    <<parts>>
    FOREACH v_part IN ARRAY '{subject,body,body_text}'::text[] LOOP
        v_segments := p_compiled -> v_part;
        CONTINUE WHEN v_segments IS NULL;
        v_output := '{}';
        v_next := 0;
        LOOP
            v_segment := v_segments -> v_next;
            EXIT WHEN v_segment IS NULL;
            v_next := v_next + 1;
            IF jsonb_typeof(v_segment) = 'string' THEN
                v_output := v_output || (v_segment #>> '{}');
                CONTINUE;
            END IF;
            v_name := v_segment ->> 'name';
            IF v_name IS NOT NULL THEN
                v_value := p_variables ->> v_name;
                IF v_value = '' AND v_segment ? 'default' OR v_value IS NULL THEN
                    v_value := v_segment ->> 'default';
                    IF v_value IS NULL THEN
                        v_missing := v_missing || v_name;
                    END IF;
                    v_output := v_output || v_value;
                    CONTINUE;
                ELSIF length(v_value) > 10000 OR jsonb_typeof(p_variables -> v_name) IN ('object', 'array') THEN
                    problem_code := 'GC332';
                    problem := format(
                        'variable %s is %s', v_name, CASE jsonb_typeof(p_variables -> v_name)
                            WHEN 'object' THEN 'an object' WHEN 'array' THEN 'an array'
                            ELSE format('%s characters long, more than 10000', length(v_value)) END
                    );
                    EXIT parts;
                ELSIF v_part = 'subject' AND v_value ~ '[\x01-\x1f\x7f-\x9f\u2028\u2029]'
                    OR v_value ~ '[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]' THEN
                    problem_code := 'GC333';
                    problem := format('variable %s has a control character, which the %s cannot have', v_name, v_part);
                    EXIT parts;
                ELSIF v_segment ? 'link' AND NOT internal.is_web_address(v_value) THEN
                    problem_code := 'GC334';
                    problem := format('variable %s is no address for a link', v_name);
                    EXIT parts;
                ELSIF v_part = 'body' AND p_channel = 'email' THEN
                    v_value := internal.escape_html(v_value);
                END IF;
                v_output := v_output || v_value;
            ELSIF v_segment ? 'go' THEN
                v_next := (v_segment -> 'go')::integer;
            ELSIF coalesce(p_variables ->> (v_segment ->> 'if'), '') = ''
                OR p_variables -> (v_segment ->> 'if') = 'false' THEN
                v_next := (v_segment -> 'else')::integer;
            END IF;
        END LOOP;
        CASE v_part
            WHEN 'subject' THEN subject := array_to_string(v_output, '');
            WHEN 'body' THEN body := array_to_string(v_output, '');
            ELSE body_text := array_to_string(v_output, '');
        END CASE;
    END LOOP;
    IF problem IS NULL AND cardinality(v_missing) > 0 THEN
        problem_code := 'GC331';
        problem := (
            SELECT format('missing variables: %s', string_agg(DISTINCT missing.name, ', ' ORDER BY missing.name))
            FROM unnest(v_missing) AS missing (name)
        );
    END IF;
    IF problem IS NOT NULL THEN
        subject := NULL;
        body := NULL;
        body_text := NULL;
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.render_message(text, jsonb, jsonb) IS
'Put the values of one recipient into a compiled message; what is wrong comes back as problem.';
REVOKE ALL ON FUNCTION internal.render_message(text, jsonb, jsonb) FROM PUBLIC;
