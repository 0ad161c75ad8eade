-- Not of a tenant: no row security. Written by the functions of the drill alone.
GRANT SELECT ON public.communication_restore_drills TO comms_ops, comms_monitor, comms_auditor;
