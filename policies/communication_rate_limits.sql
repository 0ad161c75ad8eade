-- Written by check_rate_limit(), which has entered the tenant; read by operations.
CREATE POLICY tenant ON public.communication_rate_limits TO comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.communication_rate_limits FOR SELECT TO comms_ops
USING (true);
CREATE POLICY maintenance ON public.communication_rate_limits TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.communication_rate_limits TO comms_ops;
GRANT SELECT, DELETE ON public.communication_rate_limits TO comms_maintenance;
