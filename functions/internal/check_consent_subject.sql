CREATE OR REPLACE FUNCTION internal.check_consent_subject(p_address text, p_channel text, p_purpose text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Whether there can be consent for an address, channel and purpose.
   Raises GC300 for NULL, GC400 for a channel, GC401 for an address, GC402 for a purpose that cannot be. */
DECLARE
    v_address constant text := internal.normalise_address(p_channel, p_address);
BEGIN
    PERFORM internal.require_given(
        jsonb_build_object('p_address', p_address, 'p_channel', p_channel, 'p_purpose', p_purpose)
    );
    IF p_channel NOT IN ('email', 'sms', 'push') THEN
        RAISE EXCEPTION 'there is no consent for channel "%"', p_channel
        USING ERRCODE = 'GC400', HINT = 'Channels with an address are email, sms and push.';
    ELSIF NOT (CASE p_channel
        WHEN 'email' THEN length(v_address) <= 254 AND v_address ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$'
        WHEN 'sms' THEN v_address ~ '^\+[1-9][0-9]{6,14}$'
        ELSE length(v_address) BETWEEN 1 AND 4096 AND v_address !~ '[[:space:][:cntrl:]]'
    END) THEN
        RAISE EXCEPTION 'that is no address for channel %', p_channel
        USING ERRCODE = 'GC401', HINT = 'email: name@domain; sms: E.164, such as +4915112345678; push: the token.';
    ELSIF p_purpose !~ '^[a-z][a-z0-9_]{0,62}$' THEN
        RAISE EXCEPTION 'there can be no purpose "%"', left(p_purpose, 100)
        USING ERRCODE = 'GC402', HINT = 'Take a name of a-z, 0-9 and _ such as wedding_updates.';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.check_consent_subject(text, text, text) IS
'Refuse an address, channel or purpose for which there can be no consent.';
REVOKE ALL ON FUNCTION internal.check_consent_subject(text, text, text) FROM PUBLIC;
