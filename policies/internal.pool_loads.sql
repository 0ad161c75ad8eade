-- Not of a tenant: no row security. Written by report_pool_load() alone.
GRANT SELECT ON internal.pool_loads TO comms_ops, comms_monitor, comms_maintenance;
