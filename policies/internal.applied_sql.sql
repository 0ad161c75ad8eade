-- Not of a tenant: no row security. Written by `guestcomms migrate` alone.
GRANT SELECT ON internal.applied_sql TO comms_ops, comms_monitor;
