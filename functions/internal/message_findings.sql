CREATE OR REPLACE FUNCTION internal.message_findings(
    p_message public.guest_communications, p_subject_line_accurate boolean
) RETURNS TABLE (finding text, applies boolean, passed boolean, detail text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* What 15 USC 7704 asks of a message, as far as a message shows it: a row per duty, whether it applies, whether
       it is met (NULL: no program can tell and nobody has said), and why. Another set of rules is another
       validator_version in validate_message(). */
    WITH squashed AS (
        SELECT
            lower(regexp_replace(given.text, '(<[^>]*>|[\s,;]|&nbsp;)+', ' ', 'g')) AS text, given.part
        FROM (VALUES ('body', p_message.body), ('address', p_message.postal_address)) AS given (part, text)
    ),
    message AS (
        SELECT
            p_message.message_category = 'commercial' AND p_message.message_type IN ('email', 'sms') AS is_commercial,
            p_message.message_type = 'email' AS is_email,
            p_message.unsubscribe_url IS NOT NULL
            AND internal.is_always_shown(p_message.compiled -> 'body', 'unsubscribe_url')
            AND (
                p_message.body_text IS NULL
                OR internal.is_always_shown(p_message.compiled -> 'body_text', 'unsubscribe_url')
            ) AS has_link,
            p_message.message_type = 'sms' AND p_message.body ~* '\mstop\M' AS says_stop,
            coalesce((
                SELECT strpos(body.text, btrim(address.text)) > 0
                FROM squashed AS body, squashed AS address
                WHERE body.part = 'body' AND address.part = 'address'
            ), false) AS has_postal_address
    )
    SELECT
        'unsubscribe_link', message.is_commercial, message.has_link OR message.says_stop,
        CASE
            WHEN message.has_link OR message.says_stop THEN 'every recipient is shown a way out'
            WHEN p_message.unsubscribe_url IS NULL THEN 'unsubscribe_url is not set'
            ELSE 'a text lacks {{unsubscribe_url}}, or has it in a condition only'
        END
    FROM message
    UNION ALL
    SELECT
        'physical_address', message.is_commercial AND message.is_email, message.has_postal_address,
        CASE
            WHEN message.has_postal_address THEN 'the text has the postal address'
            WHEN p_message.postal_address IS NULL THEN 'postal_address is not set'
            ELSE 'the text lacks the words of postal_address'
        END
    FROM message
    UNION ALL
    SELECT
        'clear_sender', true, sender.is_clear,
        CASE WHEN sender.is_clear THEN 'the sender is named' ELSE 'sender_name or sender_address is missing or wrong' END
    FROM (
        SELECT
            coalesce(CASE p_message.message_type
                WHEN 'email' THEN
                    p_message.sender_name ~ '\S' AND p_message.sender_address ~ '^[^@\s]+@[^@\s]+\.[^@\s.]+$'
                WHEN 'sms' THEN p_message.sender_address ~ '^\+?[A-Za-z0-9 ]{3,15}$'
                ELSE p_message.sender_name ~ '\S'
            END, false) AS is_clear
    ) AS sender
    UNION ALL
    SELECT
        'accurate_subject', message.is_email AND p_subject_line_accurate IS NOT NULL, p_subject_line_accurate,
        CASE WHEN p_subject_line_accurate IS NULL THEN 'no program can tell: assess_subject_line()'
            ELSE 'a person said so' END
    FROM message
    UNION ALL
    SELECT
        'named_as_advertisement', false, NULL,
        CASE
            WHEN NOT message.is_commercial THEN 'not a commercial message'
            WHEN p_message.lawful_basis = 'consent' THEN 'no duty towards those who consented (7704(a)(5)(B))'
            ELSE 'a duty that no program can check: read the message'
        END
    FROM message
$sql$;

COMMENT ON FUNCTION internal.message_findings(public.guest_communications, boolean) IS
'What 15 USC 7704 asks of a message, duty by duty.';
REVOKE ALL ON FUNCTION internal.message_findings(public.guest_communications, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.message_findings(public.guest_communications, boolean) TO comms_maintenance;
