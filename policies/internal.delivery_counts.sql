-- No personal data, nothing of a tenant: no row security.
GRANT SELECT, INSERT, DELETE ON internal.delivery_counts TO comms_maintenance;
