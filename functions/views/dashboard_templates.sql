SET LOCAL ROLE comms_maintenance; -- it sums up every tenant
CREATE MATERIALIZED VIEW public.dashboard_templates AS
SELECT
    message.organization_id,
    message.template_id,
    message.template_version,
    count(*) AS communications,
    sum(message.total_recipients)::bigint AS recipients,
    max(message.created_at) AS last_used_at
FROM public.guest_communications AS message
WHERE message.template_id IS NOT NULL
GROUP BY 1, 2, 3;

CREATE UNIQUE INDEX dashboard_templates_key
ON public.dashboard_templates (organization_id, template_id, template_version);

COMMENT ON MATERIALIZED VIEW public.dashboard_templates IS 'How often each version of a template was used.';
GRANT SELECT ON public.dashboard_templates TO comms_report, comms_ops;
