-- Read by its tenant; written by create_consent_text().
CREATE POLICY tenant ON public.consent_texts TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.consent_texts FOR SELECT TO comms_ops, comms_auditor
USING (true);
CREATE POLICY maintenance ON public.consent_texts TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.consent_texts TO comms_app, comms_ops, comms_auditor;
GRANT SELECT ON public.consent_texts TO comms_maintenance;
