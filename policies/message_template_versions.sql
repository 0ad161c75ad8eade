-- Read by its tenant; written by create_template() and publish_template().
CREATE POLICY tenant ON public.message_template_versions TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.message_template_versions FOR SELECT TO comms_ops
USING (true);
CREATE POLICY maintenance ON public.message_template_versions TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.message_template_versions TO comms_app, comms_ops;
GRANT SELECT ON public.message_template_versions TO comms_maintenance;
