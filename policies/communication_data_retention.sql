-- Not of a tenant: no row security. Operations sets the periods, apply_data_retention() writes the results.
GRANT SELECT ON public.communication_data_retention TO comms_ops, comms_auditor, comms_maintenance;
GRANT UPDATE (retention_period, legal_basis, enabled) ON public.communication_data_retention TO comms_ops;
GRANT UPDATE (last_run_at, last_result) ON public.communication_data_retention TO comms_maintenance;
