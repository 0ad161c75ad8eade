SET LOCAL ROLE comms_maintenance; -- a worker serves every tenant
CREATE OR REPLACE FUNCTION internal.mark_unknown(
    p_batch public.communication_batch_queue, p_error_code text, p_error_message text
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* What was handed out under the lease of a chunk and not answered for may have been sent: it becomes unknown, with
   the reason, and is not sent again by itself. Returns how many recipients that were. */
DECLARE
    v_unknown bigint;
BEGIN
    WITH handed_out AS MATERIALIZED (
        SELECT sending.id
        FROM public.communication_recipients AS sending
        WHERE sending.organization_id = p_batch.organization_id
            AND sending.communication_created_at = p_batch.communication_created_at
            AND sending.id BETWEEN p_batch.first_recipient_id AND p_batch.last_recipient_id
            AND sending.status = 'sending' AND sending.sending_at = p_batch.leased_at
        ORDER BY sending.id
        FOR NO KEY UPDATE
    ), moved AS (
        UPDATE public.communication_recipients AS recipient
        SET status = 'unknown', unknown_at = clock_timestamp(),
            error_code = p_error_code, error_message = p_error_message
        FROM handed_out
        WHERE recipient.organization_id = p_batch.organization_id AND recipient.id = handed_out.id
            AND recipient.communication_created_at = p_batch.communication_created_at
            AND recipient.id BETWEEN p_batch.first_recipient_id AND p_batch.last_recipient_id
        RETURNING recipient.id
    )
    SELECT count(*) INTO v_unknown FROM moved;
    INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
    SELECT p_batch.organization_id, p_batch.communication_id, change.status, change.delta
    FROM (VALUES ('sending', -v_unknown), ('unknown', v_unknown)) AS change (status, delta)
    WHERE change.delta <> 0;
    RETURN v_unknown;
END
$plpgsql$;

COMMENT ON FUNCTION internal.mark_unknown(public.communication_batch_queue, text, text) IS
'Recipients handed out under a lease and not answered for become unknown.';
REVOKE ALL ON FUNCTION internal.mark_unknown(public.communication_batch_queue, text, text) FROM PUBLIC;
