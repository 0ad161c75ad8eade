-- Read by its tenant; written by the sending, queue and event functions. Its partitions have no grants.
CREATE POLICY tenant ON public.communication_recipients TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.communication_recipients FOR SELECT TO comms_ops
USING (true);
CREATE POLICY maintenance ON public.communication_recipients TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.communication_recipients TO comms_app, comms_ops;
GRANT SELECT, INSERT, UPDATE ON public.communication_recipients TO comms_maintenance;
