-- Not of a tenant: no row security. Load runs store their figures as operations; nobody changes them.
GRANT SELECT ON public.communication_load_metrics TO comms_ops, comms_monitor, comms_report;
GRANT
INSERT (run_id, scenario, metric_name, labels, metric_value, started_at, completed_at, machine, commit_id)
ON public.communication_load_metrics TO comms_ops;
