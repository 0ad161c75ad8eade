SET LOCAL ROLE comms_maintenance; -- it sums up every tenant
CREATE MATERIALIZED VIEW public.dashboard_deliverability AS
SELECT
    event.provider,
    event.channel,
    date_trunc('hour', event.created_at, 'UTC') AS hour,
    count(*) AS events,
    count(*) FILTER (WHERE event.status = 'sent') AS sent,
    count(*) FILTER (WHERE event.status = 'deferred') AS deferred,
    count(*) FILTER (WHERE event.status = 'delivered') AS delivered,
    count(*) FILTER (WHERE event.status = 'opened') AS opened,
    count(*) FILTER (WHERE event.status = 'clicked') AS clicked,
    count(*) FILTER (WHERE event.status = 'failed') AS failed,
    count(*) FILTER (WHERE event.status = 'bounced') AS bounced,
    count(*) FILTER (WHERE event.status = 'complained') AS complained,
    count(*) FILTER (WHERE event.status = 'unsubscribed') AS unsubscribed
FROM public.delivery_status AS event
-- A day and no more: every refresh reads these events again.
WHERE event.created_at >= date_trunc('hour', now() - interval '1 day', 'UTC')
GROUP BY 1, 2, 3;

CREATE UNIQUE INDEX dashboard_deliverability_key ON public.dashboard_deliverability (provider, channel, hour);

COMMENT ON MATERIALIZED VIEW public.dashboard_deliverability IS
'What providers reported in the last day, per provider, channel and hour of arrival.';
GRANT SELECT ON public.dashboard_deliverability TO comms_report, comms_ops;
