CREATE OR REPLACE FUNCTION internal.html_tail(p_html text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
/* What of the beginning of an HTML document is still open at its end: an unfinished tag, comment,
   script or style; else ''. Conditional comments of Outlook are read as what they hold. */
RETURN coalesce(
    substring(
        regexp_replace(
            p_html,
            '<!--(?!\[if)(?:[^-]|-(?!->))*-->'
            '|<script\y(?:[^<]|<(?!/script))*</script[^>]*>'
            '|<style\y(?:[^<]|<(?!/style))*</style[^>]*>'
            '|<(?!script\y|style\y|!--(?!\[if))[a-z/!?](?:[^<>"'']|"[^"]*"|''[^'']*'')*>',
            '', 'gi'
        )
        FROM '(?i)<(?:[a-z/!?].*|$)'
    ), ''
);

COMMENT ON FUNCTION internal.html_tail(text) IS 'What is still open at the end of a piece of HTML; '''' is plain text.';
REVOKE ALL ON FUNCTION internal.html_tail(text) FROM PUBLIC;
