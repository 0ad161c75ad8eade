-- Read by its tenant; written by set_processing_record().
CREATE POLICY tenant ON public.processing_records TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.processing_records FOR SELECT TO comms_ops, comms_auditor
USING (true);
CREATE POLICY maintenance ON public.processing_records TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.processing_records TO comms_app, comms_ops, comms_auditor;
GRANT SELECT ON public.processing_records TO comms_maintenance;
