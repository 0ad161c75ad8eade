CREATE OR REPLACE FUNCTION public.bulk_send(
    p_organization_id uuid, p_communication_id uuid, p_guest_ids uuid[] DEFAULT NULL, p_recipients jsonb DEFAULT NULL,
    p_all_guests boolean DEFAULT false, p_idempotency_key text DEFAULT NULL,
    OUT accepted bigint, OUT suppressed jsonb, OUT duplicates bigint, OUT chunks bigint
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Queue a communication for guests, for recipients {"guest_id" | "email" | "phone" | "device", "name",
   "personalisation"}, or for all guests: one of the three, up to 100,000 a call, in as many calls as it takes.
   Returns accepted: queued; suppressed: kept as not to be sent, by reason; duplicates: named twice, or queued by an
   earlier call, which changes nothing; chunks of the queue. All or nothing. A repeated call with the same key gets
   the same answer.
   Raises GC300 for what is missing, GC340 and GC341 for the key, GC342 for an unknown communication, GC347 for one
   that was cancelled, GC348 for none or two of the three or too many, GC349 for unknown guests, GC350 for an element
   that cannot be, GC351 for a variable that is missing, GC352 if the organization is not active. */
DECLARE
    v_communication public.guest_communications;
    v_before jsonb;
    v_wanted record;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    IF (p_guest_ids IS NOT NULL)::integer + (p_recipients IS NOT NULL)::integer
        + (p_all_guests IS TRUE)::integer <> 1 THEN
        RAISE EXCEPTION 'bulk_send() takes one of p_guest_ids, p_recipients and p_all_guests'
        USING ERRCODE = 'GC348', HINT = 'Name the recipients in one way; call again for others.';
    ELSIF cardinality(p_guest_ids) > 100000 THEN
        RAISE EXCEPTION '% guests in one call', cardinality(p_guest_ids)
        USING ERRCODE = 'GC348', HINT = 'Give up to 100000 a call, in as many calls as it takes.';
    END IF;
    v_before := internal.begin_idempotent(
        p_organization_id, p_idempotency_key, 'bulk_send',
        CASE WHEN p_idempotency_key IS NOT NULL THEN sha256(
            uuid_send(coalesce(p_communication_id, '00000000-0000-0000-0000-000000000000'))
            || coalesce(array_send(p_guest_ids), convert_to(coalesce(p_recipients::text, 'all guests'), 'UTF8'))
        ) END
    );
    IF v_before IS NULL THEN
        v_communication := internal.communication(p_organization_id, p_communication_id, true);
        PERFORM internal.check_sendable(v_communication);
        IF p_recipients IS NULL THEN
            IF cardinality(v_communication.variables) > 0 THEN
                RAISE EXCEPTION 'the message has variables: %', array_to_string(v_communication.variables, ', ')
                USING ERRCODE = 'GC351', HINT = 'Give p_recipients: guest_id and personalisation of each.';
            END IF;
            SELECT found.*, NULL::text[] AS personalisations INTO v_wanted
            FROM internal.wanted_guests(v_communication, p_guest_ids) AS found;
        ELSE
            PERFORM internal.check_recipients(v_communication.message_type, v_communication.variables, p_recipients);
            SELECT found.* INTO v_wanted FROM internal.wanted_recipients(v_communication, p_recipients) AS found;
        END IF;
        SELECT jsonb_build_object(
            'accepted', made.accepted, 'suppressed', made.suppressed, 'chunks', made.chunks,
            'duplicates', v_wanted.asked - coalesce(cardinality(v_wanted.recipient_keys), 0)
        ) INTO v_before
        FROM internal.enqueue(
            v_communication, v_wanted.recipient_keys, v_wanted.guest_ids, v_wanted.names, v_wanted.addresses,
            v_wanted.address_hashes, v_wanted.personalisations
        ) AS made;
        IF cardinality(v_wanted.recipient_keys) > 0 THEN
            PERFORM internal.start_sending(v_communication);
        END IF;
        PERFORM internal.finish_idempotent(p_organization_id, p_idempotency_key, v_before);
    END IF;
    accepted := (v_before -> 'accepted')::bigint;
    suppressed := v_before -> 'suppressed';
    duplicates := (v_before -> 'duplicates')::bigint;
    chunks := (v_before -> 'chunks')::bigint;
END
$plpgsql$;

COMMENT ON FUNCTION public.bulk_send(uuid, uuid, uuid[], jsonb, boolean, text) IS
'Queue a communication for guests or other recipients: accepted, suppressed by reason, duplicates, chunks.';
REVOKE ALL ON FUNCTION public.bulk_send(uuid, uuid, uuid[], jsonb, boolean, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.bulk_send(uuid, uuid, uuid[], jsonb, boolean, text) TO comms_app;
