-- Not of a tenant: no row security. Written by the functions of the restore and by who copies back.
GRANT SELECT ON public.communication_table_restores TO comms_ops, comms_monitor, comms_auditor;
