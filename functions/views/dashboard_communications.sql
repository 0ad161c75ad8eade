SET LOCAL ROLE comms_maintenance; -- it sums up every tenant
CREATE MATERIALIZED VIEW public.dashboard_communications AS
SELECT
    message.organization_id,
    (message.created_at AT TIME ZONE 'UTC')::date AS day,
    message.message_type AS channel,
    message.message_category AS category,
    count(*) AS communications,
    count(*) FILTER (WHERE message.status = 'scheduled') AS scheduled_communications,
    count(*) FILTER (WHERE message.status = 'sending') AS sending_communications,
    count(*) FILTER (WHERE message.status = 'sent') AS sent_communications,
    count(*) FILTER (WHERE message.status = 'cancelled') AS cancelled_communications,
    sum(message.total_recipients)::bigint AS recipients,
    sum(message.queued_count)::bigint AS queued,
    sum(message.sending_count)::bigint AS sending,
    sum(message.unknown_count)::bigint AS unknown,
    sum(message.sent_count)::bigint AS sent,
    sum(message.deferred_count)::bigint AS deferred,
    sum(message.delivered_count)::bigint AS delivered,
    sum(message.opened_count)::bigint AS opened,
    sum(message.clicked_count)::bigint AS clicked,
    sum(message.failed_count)::bigint AS failed,
    sum(message.bounced_count)::bigint AS bounced,
    sum(message.complained_count)::bigint AS complained,
    sum(message.suppressed_count)::bigint AS suppressed,
    sum(message.cancelled_count)::bigint AS cancelled
FROM public.guest_communications AS message
WHERE message.created_at > now() - interval '3 months'
GROUP BY 1, 2, 3, 4;

CREATE UNIQUE INDEX dashboard_communications_key
ON public.dashboard_communications (organization_id, day, channel, category);

COMMENT ON MATERIALIZED VIEW public.dashboard_communications IS
'Messages of the last three months, recipients by state: per organization, day (UTC) of creation, channel, category.';
GRANT SELECT ON public.dashboard_communications TO comms_report, comms_ops;
