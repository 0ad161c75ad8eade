CREATE OR REPLACE FUNCTION internal.is_web_address(p_text text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
/* Whether a link may lead there: never to javascript: or data:, whatever blanks stand before it. */
RETURN lower(left(p_text, 8)) ~ '^(https://|http://.|mailto:.)';

COMMENT ON FUNCTION internal.is_web_address(text) IS 'Whether a text begins with https://, http:// or mailto:.';
REVOKE ALL ON FUNCTION internal.is_web_address(text) FROM PUBLIC;
