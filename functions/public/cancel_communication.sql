CREATE OR REPLACE FUNCTION public.cancel_communication(
    p_organization_id uuid, p_communication_id uuid,
    OUT cancelled bigint, OUT in_flight bigint, OUT done bigint
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Of a partition that was empty when it was last analysed the plan would read everything.
SET enable_seqscan = off
AS $plpgsql$
/* Cancel a communication: whoever is still queued gets nothing; what is in the hands of a worker is left. Returns how
   many recipients are cancelled, in flight, and past sending or suppressed. Repeated, it changes nothing more.
   Raises GC300 if the id is NULL, GC342 if the organization has no such communication, GC347 if nobody is left to
   cancel for: it was sent. */
DECLARE
    v_communication public.guest_communications;
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
    DELETE FROM public.communication_batch_queue AS chunk
    USING (
        SELECT waiting.batch_id FROM public.communication_batch_queue AS waiting
        WHERE
            waiting.organization_id = p_organization_id AND waiting.communication_id = p_communication_id
            AND waiting.state IN ('scheduled', 'ready')
        ORDER BY waiting.batch_id
        FOR UPDATE
    ) AS locked
    WHERE chunk.organization_id = p_organization_id AND chunk.batch_id = locked.batch_id;
    WITH moved AS (
        UPDATE public.communication_recipients AS recipient SET status = 'cancelled', cancelled_at = now()
        FROM (
            SELECT queued.id FROM public.communication_recipients AS queued
            WHERE
                queued.organization_id = p_organization_id AND queued.communication_id = p_communication_id
                AND queued.communication_created_at = v_communication.created_at AND queued.status = 'queued'
            ORDER BY queued.id
            FOR NO KEY UPDATE
        ) AS locked
        WHERE
            recipient.organization_id = p_organization_id AND recipient.id = locked.id
            AND recipient.communication_created_at = v_communication.created_at
        RETURNING recipient.id
    )

    INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
    SELECT p_organization_id, p_communication_id, change.status, change.delta
    FROM (SELECT count(*) AS recipients FROM moved) AS counted
    CROSS JOIN LATERAL (
        VALUES ('queued', - counted.recipients), ('cancelled', counted.recipients)
    ) AS change (status, delta)
    WHERE change.delta <> 0;
    SELECT progress.cancelled, progress.sending, progress.total - progress.cancelled - progress.sending - progress.queued
    INTO cancelled, in_flight, done
    FROM public.communication_progress(p_organization_id, p_communication_id) AS progress;
END
$plpgsql$;

COMMENT ON FUNCTION public.cancel_communication(uuid, uuid) IS
'Cancel a communication: whoever is still queued gets nothing; what is being sent is left.';
REVOKE ALL ON FUNCTION public.cancel_communication(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.cancel_communication(uuid, uuid) TO comms_app;
