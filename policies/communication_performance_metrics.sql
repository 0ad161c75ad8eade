-- Not of a tenant: no row security. Written by collect_performance_metrics().
GRANT SELECT ON public.communication_performance_metrics TO comms_ops, comms_monitor, comms_report;
GRANT SELECT, INSERT ON public.communication_performance_metrics TO comms_maintenance;
