-- Read by its tenant; written by record_delivery_events(). Its partitions have no grants.
CREATE POLICY tenant ON public.delivery_status TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.delivery_status FOR SELECT TO comms_ops
USING (true);
CREATE POLICY maintenance ON public.delivery_status TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.delivery_status TO comms_app, comms_ops;
GRANT SELECT, INSERT ON public.delivery_status TO comms_maintenance;
-- An erasure takes away what a provider said of the person.
GRANT UPDATE (error_message) ON public.delivery_status TO comms_maintenance;
