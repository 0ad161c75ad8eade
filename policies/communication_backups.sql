-- Not of a tenant: no row security. Written by the functions of the ledger alone.
GRANT SELECT ON public.communication_backups TO comms_ops, comms_monitor, comms_auditor;
