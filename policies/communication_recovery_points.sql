-- Not of a tenant: no row security. Nobody updates a point; point_in_time and consistent may be given
-- and are replaced by what is true.
GRANT SELECT ON public.communication_recovery_points TO comms_ops, comms_monitor, comms_auditor;
GRANT INSERT (recovery_point_id, recovery_type, tables_included, point_in_time, consistent)
ON public.communication_recovery_points TO comms_ops;
