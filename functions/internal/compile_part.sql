CREATE OR REPLACE FUNCTION internal.compile_part(
    p_part text, p_escaping text, p_text text, OUT segments jsonb, OUT required text[]
)
LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Cut a text into segments for render_message(), and name the variables it cannot do without.
   A segment is a literal, or an object:
     {"name": n, "default": d, "link": true}  the value of n; d, already escaped, where there is none
     {"if": n, "else": i}                     go on at segment i unless n has a value
     {"go": i}                                go on at segment i
   Raises GC320 with line, column and the offending piece. */
DECLARE
    c_tag CONSTANT text := '\{\{\{\{|\{\{(?!\{)(?:[^}]|\}(?!\}))*\}\}';
    v_forbidden CONSTANT text := CASE p_escaping WHEN 'line' THEN '[\x01-\x1f\x7f-\x9f\u2028\u2029]'
        ELSE '[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]' END;
    v_literals CONSTANT text[] := regexp_split_to_array(p_text, c_tag);
    v_tags CONSTANT text[] := ARRAY(SELECT tags[1] FROM regexp_matches(p_text, '(' || c_tag || ')', 'g') AS tags);
    v_segments jsonb[] := '{}'::jsonb[];
    v_literal text := '';
    v_tag text;
    v_content text;
    v_name text;
    v_default text;
    v_if text;             -- variable of the condition we are in
    v_if_at integer;       -- its segment …
    v_else_at integer;     -- … and the one of its else
    v_tail text := '';     -- see html_tail()
    v_tail_else text;
    v_place text := 'text';
    v_before text := '';   -- what has been read
    v_problem text;
    v_hint text := 'Write {{name}}, {{name|default}}, {{#if name}} … {{else}} … {{/if}} or {{!comment}}; a literal {{ is {{{{.';
BEGIN
    required := '{}';
    FOR v_index IN 1..cardinality(v_literals) LOOP
        v_content := v_literals[v_index];
        IF strpos(v_content, '{{') > 0 THEN
            v_before := v_before || left(v_content, strpos(v_content, '{{') - 1);
            v_problem := format('"%s" is no tag', left(substr(v_content, strpos(v_content, '{{')), 40));
        ELSIF v_content ~ v_forbidden THEN
            v_before := v_before || substring(v_content FROM format('^(.*?)%s', v_forbidden));
            v_problem := 'a control character';
            v_hint := 'A subject is one line; in other texts, tabs and line breaks are allowed.';
        END IF;
        EXIT WHEN v_problem IS NOT NULL;
        v_literal := v_literal || v_content;
        v_before := v_before || v_content;
        IF p_escaping = 'html' THEN
            v_tail := internal.html_tail(v_tail || v_content);
        END IF;
        v_tag := v_tags[v_index];
        v_content := btrim(substr(v_tag, 3, length(v_tag) - 4), E' \t\r\n');
        IF v_tag = '{{{{' THEN
            v_literal := v_literal || '{{';
            v_before := v_before || v_tag;
            CONTINUE;
        ELSIF starts_with(v_content, '!') THEN
            v_before := v_before || v_tag;
            CONTINUE;
        END IF;
        IF v_literal <> '' THEN
            v_segments := v_segments || to_jsonb(v_literal);
            v_literal := '';
        END IF;
        EXIT WHEN v_tag IS NULL;
        IF v_content ~ '^#if\s' THEN
            v_name := btrim(substr(v_content, 4), E' \t\r\n');
            IF v_if IS NOT NULL THEN
                v_problem := 'a condition within a condition';
                v_hint := format('Close {{#if %s}} with {{/if}} first: conditions do not nest.', v_if);
            ELSE
                v_if := v_name;
                v_segments := v_segments || jsonb_build_object('if', v_if);
                v_if_at := cardinality(v_segments);
                v_else_at := NULL;
                v_tail_else := v_tail;
            END IF;
        ELSIF v_content IN ('else', '/if') AND v_if IS NULL THEN
            v_problem := format('%s without {{#if …}}', v_tag);
        ELSIF v_content = 'else' THEN
            IF v_else_at IS NOT NULL THEN
                v_problem := 'a second {{else}}';
            END IF;
            v_segments := v_segments || jsonb_build_object('go', 0);
            v_else_at := cardinality(v_segments);
            SELECT v_tail_else, v_tail INTO v_tail, v_tail_else;
            v_name := v_if;
        ELSIF v_content = '/if' THEN
            IF v_else_at IS NOT NULL THEN
                v_segments[v_else_at] := jsonb_build_object('go', cardinality(v_segments));
            END IF;
            v_segments[v_if_at] := v_segments[v_if_at]
                || jsonb_build_object('else', coalesce(v_else_at, cardinality(v_segments)));
            IF internal.html_place(v_tail) <> internal.html_place(v_tail_else) THEN
                v_problem := format('with and without %s, the HTML goes on differently here', v_if);
                v_hint := 'Put whole tags, or whole attribute values, into a condition.';
            END IF;
            v_name := v_if;
            v_if := NULL;
        ELSE
            v_name := rtrim(split_part(v_content, '|', 1), E' \t\r\n');
            v_default := CASE WHEN strpos(v_tag, '|') > 0
                THEN substr(v_tag, strpos(v_tag, '|') + 1, length(v_tag) - strpos(v_tag, '|') - 2) END;
            IF p_escaping = 'html' THEN
                v_place := internal.html_place(v_tail);
                v_tail := v_tail || CASE WHEN v_tail = '' THEN '' ELSE E'\x01' END;
            END IF;
            IF starts_with(v_place, 'forbidden:') THEN
                v_problem := format('%s stands %s', v_tag, substr(v_place, 11));
                v_hint := 'Put variables into text, or into attribute values in quotes.';
            ELSIF strpos(v_default, '{{') > 0 OR v_default ~ '[\x01-\x1f\x7f-\x9f\u2028\u2029]' THEN
                v_problem := format('the default in %s is no line of plain text', v_tag);
            ELSIF v_place = 'link' AND v_default <> '' AND NOT internal.is_web_address(v_default) THEN
                v_problem := format('the default in %s is no address', v_tag);
                v_hint := 'A link begins with https://, http:// or mailto:.';
            END IF;
            IF v_default IS NULL AND v_name = v_if THEN
                v_default := '';
            ELSIF v_default IS NULL AND v_if IS NULL THEN
                required := required || v_name;
            END IF;
            v_segments := v_segments || jsonb_strip_nulls(jsonb_build_object(
                'name', v_name,
                'default', CASE p_escaping WHEN 'html' THEN internal.escape_html(v_default) ELSE v_default END,
                'link', CASE v_place WHEN 'link' THEN true END
            ));
        END IF;
        IF v_problem IS NULL AND v_name !~ '^[a-z][a-z0-9_]{0,62}$' THEN
            v_problem := format('"%s" is no name of a variable', v_name);
            v_hint := 'Names have small letters, digits and _, begin with a letter, and have at most 63 characters.';
        END IF;
        EXIT WHEN v_problem IS NOT NULL;
        v_before := v_before || v_tag;
    END LOOP;
    IF v_problem IS NULL AND v_if IS NOT NULL THEN
        v_problem := format('{{#if %s}} is not closed', v_if);
        v_hint := 'Close it with {{/if}}.';
    END IF;
    IF v_problem IS NOT NULL THEN
        RAISE EXCEPTION '%, line %, column %: %',
            p_part, 1 + regexp_count(v_before, '\n'), 1 + length(substring(v_before FROM '[^\n]*$')), v_problem
        USING ERRCODE = 'GC320', HINT = v_hint;
    END IF;
    segments := to_jsonb(v_segments);
    required := ARRAY(
        SELECT DISTINCT needed.name FROM unnest(required) AS needed (name)
        WHERE needed.name <> ALL (internal.built_in_variables()) ORDER BY needed.name
    );
END
$plpgsql$;

COMMENT ON FUNCTION internal.compile_part(text, text, text) IS
'Cut one part of a message into literals and variables, refusing (GC320) what is wrong in it.';
REVOKE ALL ON FUNCTION internal.compile_part(text, text, text) FROM PUBLIC;
