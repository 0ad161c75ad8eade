-- Not of a tenant: no row security. Written by run_integrity_checks() alone.
GRANT SELECT ON internal.integrity_results TO comms_ops, comms_monitor;
GRANT SELECT, INSERT, UPDATE, DELETE ON internal.integrity_results TO comms_maintenance;
