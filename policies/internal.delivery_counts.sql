-- No personal data, nothing of a tenant: no row security.
GRANT SELECT, INSERT, UPDATE, DELETE ON internal.delivery_counts TO comms_maintenance;
