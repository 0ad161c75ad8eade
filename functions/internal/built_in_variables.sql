CREATE OR REPLACE FUNCTION internal.built_in_variables() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
/* The variables that render_batch() gives to every message; a caller need not. The one list of them. */
RETURN ARRAY['guest_name', 'organization_name', 'recipient_email', 'unsubscribe_url', 'communication_title']::text[];

COMMENT ON FUNCTION internal.built_in_variables() IS
'Variables that every message has without being given any.';
REVOKE ALL ON FUNCTION internal.built_in_variables() FROM PUBLIC;
