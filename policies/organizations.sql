-- A tenant sees its own row. Rows are made by create_organization(), which runs as comms_maintenance.
CREATE POLICY tenant ON public.organizations FOR SELECT TO comms_app, comms_worker, comms_owner
USING (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.organizations FOR SELECT TO comms_ops
USING (true);
CREATE POLICY maintenance ON public.organizations TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.organizations TO comms_app, comms_worker, comms_ops;
GRANT SELECT, INSERT, UPDATE ON public.organizations TO comms_maintenance;
