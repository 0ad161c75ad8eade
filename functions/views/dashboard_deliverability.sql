SET LOCAL ROLE comms_maintenance; -- the owner of what is counted
CREATE MATERIALIZED VIEW public.dashboard_deliverability AS
SELECT
    counted.provider,
    counted.channel,
    date_trunc('hour', counted.span, 'UTC') AS hour,
    sum(counted.events)::bigint AS events,
    coalesce(sum(counted.events) FILTER (WHERE counted.status = 'sent'), 0)::bigint AS sent,
    coalesce(sum(counted.events) FILTER (WHERE counted.status = 'deferred'), 0)::bigint AS deferred,
    coalesce(sum(counted.events) FILTER (WHERE counted.status = 'delivered'), 0)::bigint AS delivered,
    coalesce(sum(counted.events) FILTER (WHERE counted.status = 'opened'), 0)::bigint AS opened,
    coalesce(sum(counted.events) FILTER (WHERE counted.status = 'clicked'), 0)::bigint AS clicked,
    coalesce(sum(counted.events) FILTER (WHERE counted.status = 'failed'), 0)::bigint AS failed,
    coalesce(sum(counted.events) FILTER (WHERE counted.status = 'bounced'), 0)::bigint AS bounced,
    coalesce(sum(counted.events) FILTER (WHERE counted.status = 'complained'), 0)::bigint AS complained,
    coalesce(sum(counted.events) FILTER (WHERE counted.status = 'unsubscribed'), 0)::bigint AS unsubscribed
FROM internal.delivery_counts AS counted
WHERE counted.span >= date_trunc('hour', now() - interval '1 day', 'UTC')
GROUP BY 1, 2, 3;

CREATE UNIQUE INDEX dashboard_deliverability_key ON public.dashboard_deliverability (provider, channel, hour);

COMMENT ON MATERIALIZED VIEW public.dashboard_deliverability IS
'What providers reported in the last day, per provider, channel and hour of arrival.';
GRANT SELECT ON public.dashboard_deliverability TO comms_report, comms_ops;
