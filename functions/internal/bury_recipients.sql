SET LOCAL ROLE comms_maintenance; -- it sees every tenant
CREATE OR REPLACE FUNCTION internal.bury_recipients(
    p_batch public.communication_batch_queue, p_reason text, p_error text, p_recipient_ids uuid[] DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* Give up recipients of a chunk that are queued: these, or all if no ids are given. They become failed with
   error_code dead_letter, and one dead letter says so. Returns how many there were; none makes no dead letter. */
DECLARE
    v_ids uuid[];
BEGIN
    WITH gone AS MATERIALIZED (
        SELECT queued.id
        FROM public.communication_recipients AS queued
        WHERE queued.organization_id = p_batch.organization_id
            AND queued.communication_created_at = p_batch.communication_created_at
            AND queued.id BETWEEN p_batch.first_recipient_id AND p_batch.last_recipient_id
            AND queued.status = 'queued'
            AND (p_recipient_ids IS NULL OR queued.id = ANY (p_recipient_ids))
        ORDER BY queued.id
        FOR NO KEY UPDATE
    ), buried AS (
        UPDATE public.communication_recipients AS recipient
        SET status = 'failed', failed_at = clock_timestamp(), next_attempt_at = NULL, error_code = 'dead_letter',
            error_message = left(concat_ws(': ', recipient.error_code, coalesce(recipient.error_message, p_error)), 1000)
        FROM gone
        WHERE recipient.organization_id = p_batch.organization_id AND recipient.id = gone.id
            AND recipient.communication_created_at = p_batch.communication_created_at
            AND recipient.id BETWEEN p_batch.first_recipient_id AND p_batch.last_recipient_id
        RETURNING recipient.id
    )
    SELECT array_agg(buried.id ORDER BY buried.id) INTO v_ids FROM buried;
    IF v_ids IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO public.communication_dead_letters (
        organization_id, batch_id, communication_id, communication_created_at, first_recipient_id, last_recipient_id,
        recipients, reason, attempts, last_error
    ) VALUES (
        p_batch.organization_id, p_batch.batch_id, p_batch.communication_id, p_batch.communication_created_at,
        v_ids[1], v_ids[cardinality(v_ids)], cardinality(v_ids), p_reason, p_batch.attempts, left(p_error, 4000)
    );
    INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
    VALUES
    (p_batch.organization_id, p_batch.communication_id, 'queued', -cardinality(v_ids)),
    (p_batch.organization_id, p_batch.communication_id, 'failed', cardinality(v_ids));
    RETURN cardinality(v_ids);
END
$plpgsql$;

COMMENT ON FUNCTION internal.bury_recipients(public.communication_batch_queue, text, text, uuid[]) IS
'Give up queued recipients of a chunk: failed, with a dead letter that can be redriven.';
REVOKE ALL ON FUNCTION internal.bury_recipients(public.communication_batch_queue, text, text, uuid[]) FROM PUBLIC;
