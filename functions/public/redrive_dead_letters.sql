SET LOCAL ROLE comms_maintenance; -- operations look after every tenant
CREATE OR REPLACE FUNCTION public.redrive_dead_letters(
    p_organization_id uuid, p_dead_letter_id uuid DEFAULT NULL, p_max integer DEFAULT 100
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Queue again who was given up: the recipients of one dead letter, or of the p_max oldest of the organization; not of a
   communication that was cancelled. Their attempts begin anew, and the rules are asked again before they are sent to.
   Returns how many recipients are queued again. Raises GC360 for p_max outside of 1 to 1000, GC364 if there is no such
   dead letter, it was redriven already, or its communication is cancelled. */
DECLARE
    v_letter public.communication_dead_letters;
    v_ids uuid[];
    v_found boolean := false;
    v_recipients bigint := 0;
BEGIN
    IF p_max IS NULL OR p_max NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION '% dead letters cannot be redriven in one call', p_max
        USING ERRCODE = 'GC360', HINT = 'Give 1 to 1000.';
    END IF;
    FOR v_letter IN
        SELECT letter.*
        FROM public.communication_dead_letters AS letter
        JOIN public.guest_communications AS message
            ON message.organization_id = letter.organization_id AND message.id = letter.communication_id
                AND message.created_at = letter.communication_created_at
        WHERE letter.organization_id = p_organization_id AND letter.redriven_at IS NULL
            AND (p_dead_letter_id IS NULL OR letter.dead_letter_id = p_dead_letter_id)
            AND message.status <> 'cancelled'
        ORDER BY letter.dead_letter_id
        LIMIT p_max
        FOR UPDATE OF letter
    LOOP
        v_found := true;
        WITH given_up AS MATERIALIZED (
            SELECT failed.id
            FROM public.communication_recipients AS failed
            WHERE failed.organization_id = p_organization_id
                AND failed.communication_created_at = v_letter.communication_created_at
                AND failed.id BETWEEN v_letter.first_recipient_id AND v_letter.last_recipient_id
                AND failed.status = 'failed' AND failed.error_code = 'dead_letter'
            ORDER BY failed.id
            FOR NO KEY UPDATE
        ), moved AS (
            UPDATE public.communication_recipients AS recipient
            SET status = 'queued', attempts = 0, next_attempt_at = NULL, sending_at = NULL, failed_at = NULL
            FROM given_up
            WHERE recipient.organization_id = p_organization_id AND recipient.id = given_up.id
                AND recipient.communication_created_at = v_letter.communication_created_at
                AND recipient.id BETWEEN v_letter.first_recipient_id AND v_letter.last_recipient_id
            RETURNING recipient.id
        )
        SELECT array_agg(moved.id ORDER BY moved.id) INTO v_ids FROM moved;
        IF v_ids IS NOT NULL THEN
            PERFORM internal.queue_chunk(
                p_organization_id, 'redrive/' || v_letter.dead_letter_id, v_letter.communication_id,
                v_ids[1], v_ids[cardinality(v_ids)], cardinality(v_ids)
            );
            INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
            VALUES
            (p_organization_id, v_letter.communication_id, 'failed', -cardinality(v_ids)),
            (p_organization_id, v_letter.communication_id, 'queued', cardinality(v_ids));
            v_recipients := v_recipients + cardinality(v_ids);
        END IF;
        UPDATE public.communication_dead_letters AS letter
        SET redriven_at = clock_timestamp(), redriven_by = SESSION_USER,
            redriven_recipients = coalesce(cardinality(v_ids), 0)
        WHERE letter.organization_id = p_organization_id AND letter.dead_letter_id = v_letter.dead_letter_id;
    END LOOP;
    IF p_dead_letter_id IS NOT NULL AND NOT v_found THEN
        RAISE EXCEPTION 'there is no dead letter % to redrive', p_dead_letter_id
        USING ERRCODE = 'GC364',
            HINT = 'It may have been redriven, or its communication cancelled; see communication_dead_letters.';
    END IF;
    RETURN v_recipients;
END
$plpgsql$;

COMMENT ON FUNCTION public.redrive_dead_letters(uuid, uuid, integer) IS
'Queue again the recipients of dead letters of an organization; returns how many.';
REVOKE ALL ON FUNCTION public.redrive_dead_letters(uuid, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.redrive_dead_letters(uuid, uuid, integer) TO comms_ops;
