CREATE OR REPLACE FUNCTION internal.check_communication(p_new public.guest_communications, p_priority integer)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Refuse a new communication whose values cannot be, naming the first of them: GC300 if it is missing, GC343 if it
   is wrong, GC345 if a commercial message lacks a duty, GC346 if its moment is out of bounds. */
DECLARE
    v_wrong record;
    v_missing text;
BEGIN
    SELECT given.name, given.value, given.rule INTO v_wrong
    FROM (
        VALUES
        ('p_title', p_new.message_title, length(p_new.message_title) BETWEEN 1 AND 200, '1 to 200 characters'),
        (
            'p_channel', p_new.message_type, p_new.message_type IN ('email', 'sms', 'push', 'in_app'),
            'email, sms, push or in_app'
        ),
        (
            'p_purpose', p_new.purpose, p_new.purpose ~ '^[a-z][a-z0-9_]{0,62}$',
            'a name of a-z, 0-9 and _ such as wedding_updates'
        ),
        (
            'p_category', p_new.message_category, p_new.message_category IN ('transactional', 'commercial'),
            'transactional or commercial'
        ),
        (
            'p_lawful_basis', p_new.lawful_basis,
            p_new.lawful_basis IN ('consent', 'legitimate_interest')
            OR p_new.message_category = 'transactional' AND p_new.lawful_basis IN ('contract', 'legal_obligation'),
            'consent or legitimate_interest; for transactional messages also contract or legal_obligation'
        ),
        ('p_priority', p_priority::text, p_priority BETWEEN 1 AND 9, '1 to 9'),
        (
            'p_template_id', coalesce(p_new.template_id::text, ''),
            p_new.template_id IS NULL OR num_nonnulls(p_new.subject, p_new.body, p_new.body_text) = 0,
            'a template or texts, not both'
        ),
        (
            'p_sender_name', coalesce(p_new.sender_name, ''), coalesce(length(p_new.sender_name) BETWEEN 1 AND 200, true),
            '1 to 200 characters'
        ),
        (
            'p_sender_address', coalesce(p_new.sender_address, ''),
            coalesce(length(p_new.sender_address) BETWEEN 1 AND 254, true), '1 to 254 characters'
        ),
        (
            'p_reply_to', coalesce(p_new.reply_to, ''), coalesce(length(p_new.reply_to) BETWEEN 3 AND 254, true),
            '3 to 254 characters'
        ),
        (
            'p_postal_address', coalesce(p_new.postal_address, ''),
            coalesce(length(p_new.postal_address) BETWEEN 5 AND 500, true), '5 to 500 characters'
        ),
        (
            'p_unsubscribe_url', coalesce(p_new.unsubscribe_url, ''), coalesce(p_new.unsubscribe_url ~ '^https://', true),
            'an address that begins with https://'
        ),
        (
            'p_window_until', coalesce(p_new.window_until::text, ''),
            num_nonnulls(p_new.window_from, p_new.window_until) = 0 OR p_new.window_from <> p_new.window_until,
            'a time of day other than p_window_from; both or none'
        )
    ) AS given (name, value, is_fine, rule)
    WHERE given.value IS NULL OR given.is_fine IS NOT TRUE
    LIMIT 1;
    IF v_wrong.name IS NOT NULL AND v_wrong.value IS NULL THEN
        RAISE EXCEPTION '% is NULL', v_wrong.name USING ERRCODE = 'GC300', HINT = 'Give ' || v_wrong.rule || '.';
    ELSIF v_wrong.name IS NOT NULL THEN
        RAISE EXCEPTION '% cannot be "%"', v_wrong.name, v_wrong.value
        USING ERRCODE = 'GC343', HINT = 'Give ' || v_wrong.rule || '.';
    END IF;
    PERFORM internal.check_moment(p_new.scheduled_for);
    IF p_new.message_category = 'commercial' THEN
        SELECT string_agg(duty.name, ', ') INTO v_missing
        FROM (
            VALUES
            ('p_sender_name', p_new.sender_name), ('p_sender_address', p_new.sender_address),
            ('p_postal_address', p_new.postal_address), ('p_unsubscribe_url', p_new.unsubscribe_url)
        ) AS duty (name, value)
        WHERE duty.value IS NULL;
        IF v_missing IS NOT NULL THEN
            RAISE EXCEPTION 'a commercial message lacks %', v_missing
            USING ERRCODE = 'GC345',
                HINT = '15 USC 7704 demands a clear sender, a postal address and a way to unsubscribe: give them all.';
        END IF;
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.check_communication(public.guest_communications, integer) IS
'Refuse a new communication whose values cannot be.';
REVOKE ALL ON FUNCTION internal.check_communication(public.guest_communications, integer) FROM PUBLIC;
