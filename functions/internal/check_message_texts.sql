CREATE OR REPLACE FUNCTION internal.check_message_texts(
    p_channel text, p_subject text, p_body text, p_body_text text
) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Whether a message of this channel may have these texts.
   Raises GC322 for another channel, GC300 for a text that is missing, GC321 for one that the channel
   has no use for, or that is empty or too long. */
DECLARE
    v_part text;
    v_length integer;
    v_longest integer;
BEGIN
    IF p_channel IS NULL OR p_channel NOT IN ('email', 'sms', 'push', 'in_app') THEN
        RAISE EXCEPTION 'there is no channel "%"', p_channel
        USING ERRCODE = 'GC322', HINT = 'Channels are email, sms, push and in_app.';
    ELSIF p_body IS NULL OR (p_channel = 'email' AND p_subject IS NULL) THEN
        RAISE EXCEPTION 'p_% is NULL', CASE WHEN p_body IS NULL THEN 'body' ELSE 'subject' END
        USING ERRCODE = 'GC300', HINT = format('A message by %s needs it.', p_channel);
    END IF;
    FOR v_part, v_length IN
        SELECT given.part, length(given.content)
        FROM (VALUES ('subject', p_subject), ('body', p_body), ('body_text', p_body_text)) AS given (part, content)
        WHERE given.content IS NOT NULL
    LOOP
        v_longest := CASE v_part WHEN 'subject' THEN 998 ELSE 500000 END;
        IF v_part NOT IN (SELECT parts.part FROM internal.message_parts(p_channel) AS parts) THEN
            RAISE EXCEPTION 'a message by % has no %', p_channel, v_part
            USING ERRCODE = 'GC321', HINT = format('Leave p_%s out.', v_part);
        ELSIF v_length NOT BETWEEN 1 AND v_longest THEN
            RAISE EXCEPTION 'the % has % characters', v_part, v_length
            USING ERRCODE = 'GC321', HINT = format('It may have 1 to %s.', v_longest);
        END IF;
    END LOOP;
END
$plpgsql$;

COMMENT ON FUNCTION internal.check_message_texts(text, text, text, text) IS
'Refuse a channel that does not exist and texts that it cannot have.';
REVOKE ALL ON FUNCTION internal.check_message_texts(text, text, text, text) FROM PUBLIC;
