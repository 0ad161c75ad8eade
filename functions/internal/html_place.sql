CREATE OR REPLACE FUNCTION internal.html_place(p_tail text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Where in HTML a variable would stand, given html_tail() of what comes before it: text, attribute,
   link (the beginning of an address), or forbidden:<why>. chr(1) stands for a variable. */
DECLARE
    v_attribute text;
    v_begun text;
BEGIN
    IF p_tail = '' OR starts_with(p_tail, '<!--') AND p_tail !~* '^<!--\[if[^>]*$' THEN
        RETURN 'text';
    ELSIF p_tail ~* '^<(script|style)\y' THEN
        RETURN 'forbidden:inside of <script> or <style>';
    END IF;
    -- Finished values away: what then stands before a quote is the name of the attribute we are in.
    SELECT lower(opened.parts[1]), ltrim(opened.parts[2]) INTO v_attribute, v_begun
    FROM regexp_match(
        regexp_replace(p_tail, '"[^"]*"|''[^'']*''', ' ', 'g'), '^[^"'']*[\s/]([^\s"''<>/=]+)\s*=\s*["''](.*)$'
    ) AS opened (parts);
    IF v_attribute IS NULL THEN
        RETURN 'forbidden:inside of a tag, but not in an attribute value in quotes';
    ELSIF v_attribute LIKE 'on%' OR v_attribute IN ('style', 'srcdoc', 'srcset') THEN
        RETURN format('forbidden:in the attribute %s', v_attribute);
    ELSIF v_attribute NOT IN (
        'href', 'src', 'action', 'formaction', 'background', 'poster', 'cite', 'data', 'xlink:href'
    ) THEN
        RETURN 'attribute';
    ELSIF v_begun = '' THEN
        RETURN 'link';
    ELSIF v_begun ~* '^(\x01|https?://|mailto:|tel:|sms:|cid:|[/#?])' THEN
        RETURN 'attribute';
    END IF;
    RETURN format('forbidden:in the attribute %s, which begins with neither https:// nor mailto:', v_attribute);
END
$plpgsql$;

COMMENT ON FUNCTION internal.html_place(text) IS
'Where in HTML a variable stands: text, attribute, link, forbidden:why.';
REVOKE ALL ON FUNCTION internal.html_place(text) FROM PUBLIC;
