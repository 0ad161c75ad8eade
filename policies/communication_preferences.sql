-- Read by its tenant; written by set_preferences().
CREATE POLICY tenant ON public.communication_preferences TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.communication_preferences FOR SELECT TO comms_ops
USING (true);
CREATE POLICY maintenance ON public.communication_preferences TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.communication_preferences TO comms_app, comms_ops;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.communication_preferences TO comms_maintenance;
