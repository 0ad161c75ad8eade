CREATE OR REPLACE FUNCTION public.cancel_communication(
    p_organization_id uuid, p_communication_id uuid,
    OUT cancelled bigint, OUT in_flight bigint, OUT done bigint
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Cancel a communication: whoever is still queued gets nothing; what is in the hands of a worker is left. Returns how
   many recipients are cancelled, in flight, and past sending or suppressed. Repeated, it changes nothing more.
   Raises GC300 if the id is NULL, GC342 if the organization has no such communication, GC347 if nobody is left to
   cancel for: it was sent. */
DECLARE
    v_communication public.guest_communications;
    v_cancelled bigint;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    v_communication := internal.communication(p_organization_id, p_communication_id, true);
    IF v_communication.status = 'sent' THEN
        RAISE EXCEPTION 'communication % was sent at %', p_communication_id, v_communication.completed_at
        USING ERRCODE = 'GC347', HINT = 'Nothing is queued that could be cancelled.';
    END IF;
    IF v_communication.status <> 'cancelled' THEN
        UPDATE public.guest_communications AS message SET status = 'cancelled', cancelled_at = now()
        WHERE
            message.organization_id = p_organization_id AND message.id = p_communication_id
            AND message.created_at = v_communication.created_at;
    END IF;
    -- Chunks before recipients, each in the order of its key: as claims do. A leased one is ended by its worker.
    PERFORM FROM public.communication_batch_queue AS waiting
    WHERE
        waiting.organization_id = p_organization_id AND waiting.communication_id = p_communication_id
        AND waiting.state IN ('scheduled', 'ready')
    ORDER BY waiting.batch_id
    FOR UPDATE;
    DELETE FROM public.communication_batch_queue AS chunk
    WHERE
        chunk.organization_id = p_organization_id AND chunk.communication_id = p_communication_id
        AND chunk.state IN ('scheduled', 'ready');
    -- Locked by one statement and changed by another: joined, of a partition that was never analysed, they would be
    -- read once for every recipient.
    PERFORM FROM public.communication_recipients AS queued
    WHERE
        queued.organization_id = p_organization_id AND queued.communication_id = p_communication_id
        AND queued.communication_created_at = v_communication.created_at AND queued.status = 'queued'
    ORDER BY queued.id
    FOR NO KEY UPDATE;
    UPDATE public.communication_recipients AS recipient SET status = 'cancelled', cancelled_at = now()
    WHERE
        recipient.organization_id = p_organization_id AND recipient.communication_id = p_communication_id
        AND recipient.communication_created_at = v_communication.created_at AND recipient.status = 'queued';
    GET DIAGNOSTICS v_cancelled = ROW_COUNT;
    IF v_cancelled > 0 THEN
        INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
        VALUES
        (p_organization_id, p_communication_id, 'queued', - v_cancelled),
        (p_organization_id, p_communication_id, 'cancelled', v_cancelled);
    END IF;
    SELECT progress.cancelled, progress.sending, progress.total - progress.cancelled - progress.sending - progress.queued
    INTO cancelled, in_flight, done
    FROM public.communication_progress(p_organization_id, p_communication_id) AS progress;
END
$plpgsql$;

COMMENT ON FUNCTION public.cancel_communication(uuid, uuid) IS
'Cancel a communication: whoever is still queued gets nothing; what is being sent is left.';
REVOKE ALL ON FUNCTION public.cancel_communication(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.cancel_communication(uuid, uuid) TO comms_app;
