-- Not of a tenant: no row security. Written by record_cluster_restore() and finish_cluster_restore() alone.
GRANT SELECT ON public.communication_cluster_restores TO comms_ops, comms_monitor, comms_auditor;
