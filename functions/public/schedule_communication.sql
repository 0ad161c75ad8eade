CREATE OR REPLACE FUNCTION public.schedule_communication(
    p_organization_id uuid, p_communication_id uuid, p_at timestamptz
) RETURNS public.guest_communications
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Send a communication not before p_at; now() lets a scheduled one go. Works on a draft and on what is still queued;
   chunks in the hands of a worker are left. Returns the row.
   Raises GC300 for what is missing, GC342 if the organization has no such communication, GC346 for a moment in the
   past or more than five years ahead, GC347 if it was sent or cancelled. */
DECLARE
    v_communication public.guest_communications;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    IF p_at IS NULL THEN
        RAISE EXCEPTION 'p_at is NULL' USING ERRCODE = 'GC300', HINT = 'Give a moment; now() sends at once.';
    END IF;
    PERFORM internal.check_moment(p_at);
    v_communication := internal.communication(p_organization_id, p_communication_id, true);
    IF v_communication.status IN ('sent', 'cancelled') THEN
        RAISE EXCEPTION 'communication % is %', p_communication_id, v_communication.status
        USING ERRCODE = 'GC347', HINT = 'Only what is not sent yet can be scheduled.';
    END IF;
    -- In the order of the key, as cancel_communication() does.
    PERFORM FROM public.communication_batch_queue AS waiting
    WHERE
        waiting.organization_id = p_organization_id AND waiting.communication_id = p_communication_id
        AND waiting.state IN ('scheduled', 'ready')
    ORDER BY waiting.batch_id
    FOR UPDATE;
    UPDATE public.communication_batch_queue AS chunk
    SET
        state = CASE WHEN p_at > now() THEN 'scheduled' ELSE 'ready' END,
        run_at = greatest(p_at, now()),
        fair_rank = greatest(chunk.fair_rank, internal.queue_front())
    WHERE
        chunk.organization_id = p_organization_id AND chunk.communication_id = p_communication_id
        AND chunk.state IN ('scheduled', 'ready');
    UPDATE public.guest_communications AS message
    SET
        scheduled_for = p_at,
        status = CASE
            WHEN message.status = 'draft' THEN 'draft'
            WHEN p_at > now() THEN 'scheduled'
            ELSE 'sending'
        END
    WHERE
        message.organization_id = p_organization_id AND message.id = p_communication_id
        AND message.created_at = v_communication.created_at
    RETURNING message.* INTO v_communication;
    RETURN v_communication;
END
$plpgsql$;

COMMENT ON FUNCTION public.schedule_communication(uuid, uuid, timestamptz) IS
'Send a communication not before a moment; now() lets a scheduled one go.';
REVOKE ALL ON FUNCTION public.schedule_communication(uuid, uuid, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.schedule_communication(uuid, uuid, timestamptz) TO comms_app;
