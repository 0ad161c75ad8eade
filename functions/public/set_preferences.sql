CREATE OR REPLACE FUNCTION public.set_preferences(
    p_organization_id uuid, p_guest_id uuid, p_channel text, p_preferences jsonb
) RETURNS public.communication_preferences
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* What a guest wishes on a channel: {"allowed": false, "is_preferred": true, "quiet_from": "22:00", "quiet_until":
   "07:00", "max_messages": 3, "per_interval": "7 days", "language": "de"}. What is left out stays as it was, null
   takes it back. A channel that becomes the preferred one replaces another. Returns the wishes as they are now.
   Asked when messages are queued and again when they are sent, so it holds for queued ones too.
   Raises GC300 for NULL, GC400 for a channel, GC408 for wishes that cannot be, GC410 for an unknown guest. */
DECLARE
    v_wishes public.communication_preferences;
    v_unknown text;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    PERFORM internal.require_given(
        jsonb_build_object('p_guest_id', p_guest_id, 'p_channel', p_channel, 'p_preferences', p_preferences)
    );
    IF p_channel NOT IN ('email', 'sms', 'push', 'in_app') THEN
        RAISE EXCEPTION 'there is no channel "%"', left(p_channel, 100)
        USING ERRCODE = 'GC400', HINT = 'Channels are email, sms, push and in_app.';
    ELSIF jsonb_typeof(p_preferences) <> 'object' THEN
        RAISE EXCEPTION 'p_preferences is no JSON object'
        USING ERRCODE = 'GC408', HINT = 'Write {"allowed": false}, for example.';
    END IF;
    SELECT min(given.key) INTO v_unknown
    FROM jsonb_object_keys(p_preferences) AS given (key)
    WHERE given.key NOT IN (
        'allowed', 'is_preferred', 'quiet_from', 'quiet_until', 'max_messages', 'per_interval', 'language'
    );
    IF v_unknown IS NOT NULL THEN
        RAISE EXCEPTION 'there is no preference "%"', left(v_unknown, 100)
        USING ERRCODE = 'GC408',
            HINT = 'allowed, is_preferred, quiet_from, quiet_until, max_messages, per_interval, language.';
    END IF;
    -- The lock makes calls for one guest wait for each other: at most one channel is preferred.
    PERFORM FROM public.guests AS guest
    WHERE guest.organization_id = p_organization_id AND guest.guest_id = p_guest_id AND guest.erased_at IS NULL
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'organization % has no guest %', p_organization_id, p_guest_id
        USING ERRCODE = 'GC410', HINT = 'Give the id that upsert_guests() returned; an erased guest has no wishes.';
    END IF;
    SELECT wishes.* INTO v_wishes
    FROM public.communication_preferences AS wishes
    WHERE
        wishes.organization_id = p_organization_id AND wishes.guest_id = p_guest_id AND wishes.channel = p_channel;
    BEGIN
        v_wishes := jsonb_populate_record(v_wishes, p_preferences);
        v_wishes.allowed := coalesce(v_wishes.allowed, true);
        v_wishes.is_preferred := coalesce(v_wishes.is_preferred, false);
        UPDATE public.communication_preferences AS other
        SET is_preferred = false, updated_at = clock_timestamp(), updated_by = SESSION_USER
        WHERE
            other.organization_id = p_organization_id AND other.guest_id = p_guest_id
            AND other.channel <> p_channel AND other.is_preferred AND v_wishes.is_preferred;
        INSERT INTO public.communication_preferences AS wishes (
            organization_id, guest_id, channel, allowed, is_preferred, quiet_from, quiet_until, max_messages,
            per_interval, language
        )
        VALUES (
            p_organization_id, p_guest_id, p_channel, v_wishes.allowed, v_wishes.is_preferred, v_wishes.quiet_from,
            v_wishes.quiet_until, v_wishes.max_messages, v_wishes.per_interval, v_wishes.language
        )
        ON CONFLICT (organization_id, guest_id, channel) DO UPDATE
        SET
            allowed = excluded.allowed, is_preferred = excluded.is_preferred, quiet_from = excluded.quiet_from,
            quiet_until = excluded.quiet_until, max_messages = excluded.max_messages,
            per_interval = excluded.per_interval, language = excluded.language,
            updated_at = clock_timestamp(), updated_by = SESSION_USER
        RETURNING wishes.* INTO v_wishes;
    EXCEPTION
        WHEN data_exception OR check_violation THEN
            RAISE EXCEPTION 'these preferences cannot be: %', SQLERRM
            USING ERRCODE = 'GC408',
                HINT = 'Quiet hours are two times of day, a cap is max_messages (0 to 1000) and per_interval '
                '(1 hour to 366 days), language is a BCP 47 tag such as de-AT.';
    END;
    RETURN v_wishes;
END
$plpgsql$;

COMMENT ON FUNCTION public.set_preferences(uuid, uuid, text, jsonb) IS 'What a guest wishes on a channel.';
REVOKE ALL ON FUNCTION public.set_preferences(uuid, uuid, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.set_preferences(uuid, uuid, text, jsonb) TO comms_app;
