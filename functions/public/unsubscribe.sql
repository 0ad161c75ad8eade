SET LOCAL ROLE comms_maintenance; -- the token names the organization, not the login: who clicks has none
CREATE OR REPLACE FUNCTION public.unsubscribe(
    p_token text, p_ip_address inet DEFAULT NULL, p_user_agent text DEFAULT NULL,
    OUT organization_id uuid, OUT recipient_id uuid, OUT channel text
) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* One-click unsubscribe (RFC 8058): the address of a message gets nothing more of the organization by this channel.
   What is queued for it is suppressed, consent for every purpose ends, and the address is suppressed, all at once.
   Returns whose message it was and by which channel; the same answer however often it is called.
   Raises GC300 for NULL, GC407 for a token that is not ours. */
DECLARE
    v_signed bytea;
    v_recipient public.communication_recipients;
BEGIN
    PERFORM internal.require_given(jsonb_build_object('p_token', p_token));
    IF p_token ~ '^[A-Za-z0-9_-]{64}$' THEN
        v_signed := decode(translate(p_token, '-_', '+/'), 'base64');
        organization_id := encode(substring(v_signed, 1, 16), 'hex')::uuid;
        recipient_id := encode(substring(v_signed, 17, 16), 'hex')::uuid;
        IF
            EXISTS (SELECT FROM public.organizations AS one WHERE one.organization_id = unsubscribe.organization_id)
            AND internal.unsubscribe_token(organization_id, recipient_id) = p_token
        THEN
            SELECT known.* INTO v_recipient
            FROM public.communication_recipients AS known
            WHERE
                known.organization_id = unsubscribe.organization_id AND known.id = unsubscribe.recipient_id
                AND known.communication_created_at = internal.uuid_v7_time(unsubscribe.recipient_id);
            channel := v_recipient.channel;
        END IF;
    END IF;
    IF channel IS NULL THEN
        RAISE EXCEPTION 'that is no unsubscribe token of ours'
        USING ERRCODE = 'GC407', HINT = 'Pass on what followed the address of the link, unchanged.';
    ELSIF v_recipient.address_hash IS NULL THEN
        RETURN; -- anonymous by now: nobody can be written to
    END IF;
    PERFORM internal.suppress_queued(
        organization_id, channel, v_recipient.address_hash, 'suppressed:unsubscribe', v_recipient.guest_id,
        p_lock => v_recipient.id
    );
    UPDATE public.communication_recipients AS known
    SET unsubscribed_at = clock_timestamp()
    WHERE
        known.organization_id = unsubscribe.organization_id AND known.id = v_recipient.id
        AND known.communication_created_at = v_recipient.communication_created_at
        AND known.unsubscribed_at IS NULL;
    PERFORM internal.end_consent(
        organization_id, channel, v_recipient.address_hash, NULL,
        jsonb_build_object(
            'method', 'unsubscribe', 'source', recipient_id, 'ip_address', p_ip_address,
            'user_agent', nullif(left(regexp_replace(p_user_agent, '[[:cntrl:]]', '', 'g'), 1000), '')
        )
    );
    INSERT INTO public.suppressions AS known (organization_id, channel, address_hash, reason, recipient_id)
    VALUES (organization_id, channel, v_recipient.address_hash, 'unsubscribe', recipient_id)
    ON CONFLICT ON CONSTRAINT suppressions_pkey DO UPDATE
    SET scope = 'all', expires_at = NULL
    WHERE known.scope <> 'all' OR known.expires_at IS NOT NULL;
END
$plpgsql$;

COMMENT ON FUNCTION public.unsubscribe(text, inet, text) IS
'One-click unsubscribe (RFC 8058) by a signed token: nothing more to this address by this channel.';
REVOKE ALL ON FUNCTION public.unsubscribe(text, inet, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.unsubscribe(text, inet, text) TO comms_app, comms_worker;
