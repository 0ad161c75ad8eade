-- Not of a tenant: no row security. Written by report_pool_applied() alone.
GRANT SELECT ON internal.pool_reports TO comms_ops, comms_monitor;
