SET LOCAL ROLE comms_maintenance; -- operations look after every tenant
CREATE OR REPLACE FUNCTION public.resolve_unknown(
    p_organization_id uuid, p_communication_id uuid, p_action text, p_note text
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Decide what became of the messages of a communication that are unknown, because a worker did not answer for them:
   sent, failed, or queue_again, which may send some of them twice. Who decided and why, p_note, is kept in
   error_message. A later event of the provider still counts, if its rank is higher. Returns how many there were.
   Raises GC365 for another action, without a note of 1 to 500 characters, or to queue again what was cancelled. */
DECLARE
    v_ids uuid[];
    v_status text := CASE p_action WHEN 'sent' THEN 'sent' WHEN 'failed' THEN 'failed' WHEN 'queue_again' THEN 'queued' END;
BEGIN
    IF v_status IS NULL OR p_note IS NULL OR length(btrim(p_note)) NOT BETWEEN 1 AND 500 THEN
        RAISE EXCEPTION 'unknown messages cannot be resolved as "%" with the note "%"', p_action, left(p_note, 100)
        USING ERRCODE = 'GC365', HINT = 'Give sent, failed or queue_again, and why in 1 to 500 characters.';
    END IF;
    IF v_status = 'queued' AND EXISTS (
        SELECT
        FROM public.guest_communications AS message
        WHERE message.organization_id = p_organization_id AND message.id = p_communication_id
            AND message.created_at = internal.uuid_v7_time(p_communication_id) AND message.status = 'cancelled'
    ) THEN
        RAISE EXCEPTION 'communication % is cancelled: its messages cannot be queued again', p_communication_id
        USING ERRCODE = 'GC365', HINT = 'Resolve them as sent or failed.';
    END IF;
    WITH lost AS MATERIALIZED (
        SELECT unclear.id
        FROM public.communication_recipients AS unclear
        WHERE unclear.organization_id = p_organization_id AND unclear.communication_id = p_communication_id
            AND unclear.communication_created_at = internal.uuid_v7_time(p_communication_id)
            AND unclear.status = 'unknown'
        ORDER BY unclear.id
        FOR NO KEY UPDATE
    ), moved AS (
        UPDATE public.communication_recipients AS recipient
        SET status = v_status,
            sent_at = CASE WHEN v_status = 'sent' THEN recipient.sending_at ELSE recipient.sent_at END,
            failed_at = CASE WHEN v_status = 'failed' THEN clock_timestamp() ELSE recipient.failed_at END,
            sending_at = CASE WHEN v_status <> 'queued' THEN recipient.sending_at END,
            next_attempt_at = NULL,
            error_code = 'resolved',
            error_message = format('%s, says %s: %s', p_action, SESSION_USER, p_note)
        FROM lost
        WHERE recipient.organization_id = p_organization_id AND recipient.id = lost.id
            AND recipient.communication_created_at = internal.uuid_v7_time(p_communication_id)
        RETURNING recipient.id
    )
    SELECT array_agg(moved.id ORDER BY moved.id) INTO v_ids FROM moved;
    IF v_ids IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
    VALUES
    (p_organization_id, p_communication_id, 'unknown', -cardinality(v_ids)),
    (p_organization_id, p_communication_id, v_status, cardinality(v_ids));
    IF v_status = 'queued' THEN
        PERFORM internal.queue_chunk(
            p_organization_id, format('again/%s', internal.uuid_v7()), p_communication_id,
            v_ids[first.number], v_ids[last.number], last.number - first.number + 1
        )
        FROM generate_series(1, cardinality(v_ids), 1000) AS first (number)
        CROSS JOIN LATERAL (SELECT least(first.number + 999, cardinality(v_ids))) AS last (number);
    END IF;
    RETURN cardinality(v_ids);
END
$plpgsql$;

COMMENT ON FUNCTION public.resolve_unknown(uuid, uuid, text, text) IS
'Decide what became of messages for which a worker did not answer: sent, failed or queue_again; with a note why.';
REVOKE ALL ON FUNCTION public.resolve_unknown(uuid, uuid, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.resolve_unknown(uuid, uuid, text, text) TO comms_ops;
