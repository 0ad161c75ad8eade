SET LOCAL ROLE comms_maintenance; -- it sees every tenant
CREATE OR REPLACE FUNCTION internal.roll_up_counters(p_max integer DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Add the changes of counters to the communications they are of, at most p_max communications, and let their state
   follow: sending when the first recipient is on its way, sent with completed_at when nobody is left to send to,
   sending again when somebody was queued again. Returns how many changes it summed up; 0 while another call works. */
DECLARE
    v_summed bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('internal.roll_up_counters', 0)) THEN
        RETURN 0;
    END IF;
    WITH changed AS MATERIALIZED ( -- all changes of one at a time: what moves out of a state moves into another
        SELECT DISTINCT delta.organization_id, delta.communication_id
        FROM internal.communication_counter_deltas AS delta
        LIMIT p_max
    ), taken AS (
        DELETE FROM internal.communication_counter_deltas AS delta
        USING changed
        WHERE delta.organization_id = changed.organization_id AND delta.communication_id = changed.communication_id
        RETURNING delta.organization_id, delta.communication_id, delta.status, delta.delta
    ), change AS (
        SELECT
            taken.organization_id, taken.communication_id, count(*) AS taken,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'total'), 0) AS total,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'queued'), 0) AS queued,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'sending'), 0) AS sending,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'unknown'), 0) AS unknown,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'sent'), 0) AS sent,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'deferred'), 0) AS deferred,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'delivered'), 0) AS delivered,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'opened'), 0) AS opened,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'clicked'), 0) AS clicked,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'failed'), 0) AS failed,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'bounced'), 0) AS bounced,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'complained'), 0) AS complained,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'suppressed'), 0) AS suppressed,
            coalesce(sum(taken.delta) FILTER (WHERE taken.status = 'cancelled'), 0) AS cancelled
        FROM taken
        GROUP BY taken.organization_id, taken.communication_id
        ORDER BY taken.organization_id, taken.communication_id
    ), summed AS (
        UPDATE public.guest_communications AS message
        SET total_recipients = message.total_recipients + change.total,
            queued_count = message.queued_count + change.queued,
            sending_count = message.sending_count + change.sending,
            unknown_count = message.unknown_count + change.unknown,
            sent_count = message.sent_count + change.sent,
            deferred_count = message.deferred_count + change.deferred,
            delivered_count = message.delivered_count + change.delivered,
            opened_count = message.opened_count + change.opened,
            clicked_count = message.clicked_count + change.clicked,
            failed_count = message.failed_count + change.failed,
            bounced_count = message.bounced_count + change.bounced,
            complained_count = message.complained_count + change.complained,
            suppressed_count = message.suppressed_count + change.suppressed,
            cancelled_count = message.cancelled_count + change.cancelled,
            status = CASE
                WHEN message.status NOT IN ('scheduled', 'sending', 'sent') THEN message.status
                WHEN message.queued_count + change.queued + message.sending_count + change.sending = 0 THEN 'sent'
                WHEN message.queued_count + change.queued < message.total_recipients + change.total THEN 'sending'
                ELSE message.status
            END,
            completed_at = CASE
                WHEN message.queued_count + change.queued + message.sending_count + change.sending = 0
                    THEN coalesce(message.completed_at, clock_timestamp())
            END
        FROM change
        WHERE message.organization_id = change.organization_id AND message.id = change.communication_id
            AND message.created_at = internal.uuid_v7_time(change.communication_id)
        RETURNING change.taken
    )
    SELECT coalesce(sum(summed.taken), 0) INTO v_summed FROM summed;
    RETURN v_summed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.roll_up_counters(integer) IS
'Add the changes of counters to their communications and let the state of these follow; for a job.';
REVOKE ALL ON FUNCTION internal.roll_up_counters(integer) FROM PUBLIC;
