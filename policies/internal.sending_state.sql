-- Not of a tenant: no row security. Changed by freeze_sending() and thaw_sending() alone.
GRANT SELECT ON internal.sending_state TO comms_ops, comms_monitor;
GRANT SELECT, UPDATE ON internal.sending_state TO comms_maintenance;
