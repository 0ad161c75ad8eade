CREATE OR REPLACE FUNCTION internal.read_consents(p_consents jsonb, p_common jsonb)
RETURNS TABLE (
    place bigint, address text, channel text, purpose text, consent_version text, method text, given_at text,
    source text, ip_address text, user_agent text, actor text
)
LANGUAGE sql STABLE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The entries given to record_consents(), a row for each: what it says itself, else what all have in common. */
    SELECT
        every.place, entry.said ->> 'address', entry.said ->> 'channel', entry.said ->> 'purpose',
        entry.said ->> 'consent_version', entry.said ->> 'method', entry.said ->> 'given_at', entry.said ->> 'source',
        entry.said ->> 'ip_address', entry.said ->> 'user_agent', entry.said ->> 'actor'
    FROM jsonb_array_elements(p_consents) WITH ORDINALITY AS every (element, place)
    CROSS JOIN LATERAL (SELECT p_common || every.element OFFSET 0) AS entry (said)
$sql$;

COMMENT ON FUNCTION internal.read_consents(jsonb, jsonb) IS 'The entries given to record_consents(), a row for each.';
REVOKE ALL ON FUNCTION internal.read_consents(jsonb, jsonb) FROM PUBLIC;
