CREATE OR REPLACE FUNCTION public.communication_progress(p_organization_id uuid, p_communication_id uuid)
RETURNS TABLE (
    status text, scheduled_for timestamptz, total bigint, queued bigint, sending bigint, unknown bigint, sent bigint,
    deferred bigint, delivered bigint, opened bigint, clicked bigint, failed bigint, bounced bigint, complained bigint,
    suppressed bigint, cancelled bigint
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Planning anew for every call costs more than the call.
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* How many recipients of a communication are in which state, exactly: the counters and the changes that are not yet
   added to them. Raises GC300 if the id is NULL, GC342 if the organization has no such communication. */
#variable_conflict use_column
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    RETURN QUERY
    SELECT
        message.status, message.scheduled_for,
        message.total_recipients + change.total, message.queued_count + change.queued,
        message.sending_count + change.sending, message.unknown_count + change.unknown,
        message.sent_count + change.sent, message.deferred_count + change.deferred,
        message.delivered_count + change.delivered, message.opened_count + change.opened,
        message.clicked_count + change.clicked, message.failed_count + change.failed,
        message.bounced_count + change.bounced, message.complained_count + change.complained,
        message.suppressed_count + change.suppressed, message.cancelled_count + change.cancelled
    FROM public.guest_communications AS message
    CROSS JOIN (
        SELECT
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'total'), 0)::bigint AS total,
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'queued'), 0)::bigint AS queued,
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'sending'), 0)::bigint AS sending,
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'unknown'), 0)::bigint AS unknown,
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'sent'), 0)::bigint AS sent,
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'deferred'), 0)::bigint AS deferred,
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'delivered'), 0)::bigint AS delivered,
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'opened'), 0)::bigint AS opened,
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'clicked'), 0)::bigint AS clicked,
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'failed'), 0)::bigint AS failed,
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'bounced'), 0)::bigint AS bounced,
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'complained'), 0)::bigint AS complained,
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'suppressed'), 0)::bigint AS suppressed,
            coalesce(sum(open.delta) FILTER (WHERE open.status = 'cancelled'), 0)::bigint AS cancelled
        FROM internal.communication_counter_deltas AS open
        WHERE open.organization_id = p_organization_id AND open.communication_id = p_communication_id
    ) AS change
    WHERE
        message.organization_id = p_organization_id AND message.id = p_communication_id
        AND message.created_at = internal.uuid_v7_time(p_communication_id);
    IF NOT FOUND THEN
        PERFORM internal.communication(p_organization_id, p_communication_id); -- says what was wrong
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION public.communication_progress(uuid, uuid) IS
'How many recipients of a communication are in which state, exactly.';
REVOKE ALL ON FUNCTION public.communication_progress(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.communication_progress(uuid, uuid) TO comms_app;
