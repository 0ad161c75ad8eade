-- Read by its tenant; written by its functions.
CREATE POLICY tenant ON public.data_subject_requests TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.data_subject_requests FOR SELECT TO comms_ops, comms_auditor
USING (true);
CREATE POLICY maintenance ON public.data_subject_requests TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.data_subject_requests TO comms_app, comms_ops, comms_auditor;
GRANT SELECT ON public.data_subject_requests TO comms_maintenance;
