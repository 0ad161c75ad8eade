-- Not of a tenant: no row security. People wish, agents report through report_pool_applied().
GRANT SELECT ON public.communication_pool_config TO comms_ops, comms_monitor;
GRANT
INSERT (
    pool_name, min_connections, max_connections, connection_timeout_ms, idle_timeout_ms,
    autoscale, autoscale_min, autoscale_max
),
UPDATE (
    min_connections, max_connections, connection_timeout_ms, idle_timeout_ms, autoscale, autoscale_min, autoscale_max
)
ON public.communication_pool_config TO comms_ops;
