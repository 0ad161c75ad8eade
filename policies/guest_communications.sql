-- Read by its tenant; written by the sending functions. Its partitions have no grants: the policies are here.
CREATE POLICY tenant ON public.guest_communications TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.guest_communications FOR SELECT TO comms_ops, comms_auditor
USING (true);
CREATE POLICY maintenance ON public.guest_communications TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.guest_communications TO comms_app, comms_ops, comms_auditor;
GRANT SELECT, INSERT, UPDATE ON public.guest_communications TO comms_maintenance;
