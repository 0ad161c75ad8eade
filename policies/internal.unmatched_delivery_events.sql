-- Not of a tenant: no row security. Written by record_delivery_events(), emptied by match_delivery_events().
GRANT SELECT ON internal.unmatched_delivery_events TO comms_ops;
GRANT SELECT, INSERT, DELETE ON internal.unmatched_delivery_events TO comms_maintenance;
GRANT UPDATE (unmatched_id) ON internal.unmatched_delivery_events TO comms_maintenance; -- to lock rows
