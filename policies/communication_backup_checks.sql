-- Not of a tenant: no row security. Written by the functions of the checks alone.
GRANT SELECT ON public.communication_backup_checks TO comms_ops, comms_monitor, comms_auditor;
