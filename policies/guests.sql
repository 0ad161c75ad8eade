-- Read by its tenant; written by upsert_guests() and erase_guest().
CREATE POLICY tenant ON public.guests TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.guests FOR SELECT TO comms_ops
USING (true);
CREATE POLICY maintenance ON public.guests TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.guests TO comms_app, comms_ops;
GRANT SELECT, UPDATE ON public.guests TO comms_maintenance;
