-- Not of a tenant: no row security. Written by statement_deltas() alone.
GRANT SELECT, INSERT, UPDATE, DELETE ON internal.statement_totals TO comms_maintenance;
