CREATE OR REPLACE FUNCTION internal.escape_html(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
/* A value as text of an HTML document, or of an attribute in quotes. */
RETURN replace(
    replace(replace(replace(replace(p_text, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;'
);

COMMENT ON FUNCTION internal.escape_html(text) IS 'Escape & < > " and '' for HTML.';
REVOKE ALL ON FUNCTION internal.escape_html(text) FROM PUBLIC;
