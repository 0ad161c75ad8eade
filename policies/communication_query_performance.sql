-- Not of a tenant: no row security. Written by explain_slow_queries().
GRANT SELECT ON public.communication_query_performance TO comms_ops, comms_monitor;
GRANT SELECT, INSERT ON public.communication_query_performance TO comms_maintenance;
