CREATE OR REPLACE FUNCTION internal.message_parts(p_channel text)
RETURNS TABLE (part text, escaping text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    /* The parts that a message of a channel may have, and how values are written into each:
       line: one line without control characters; html: escaped; text: as they are. */
    SELECT
        parts.part,
        parts.escaping
    FROM (
        VALUES
        (1, 'email', 'subject', 'line'), (2, 'email', 'body', 'html'), (3, 'email', 'body_text', 'text'),
        (1, 'sms', 'body', 'text'),
        (1, 'push', 'subject', 'line'), (2, 'push', 'body', 'text'),
        (1, 'in_app', 'subject', 'line'), (2, 'in_app', 'body', 'text')
    ) AS parts (position, channel, part, escaping)
    WHERE parts.channel = p_channel
    ORDER BY parts.position;
END;

COMMENT ON FUNCTION internal.message_parts(text) IS
'The parts of a message by channel, and how values are escaped in them.';
REVOKE ALL ON FUNCTION internal.message_parts(text) FROM PUBLIC;
