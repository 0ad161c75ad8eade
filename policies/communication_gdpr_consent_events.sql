-- Read by its tenant; added to by record_consent(), withdraw_consent() and unsubscribe().
CREATE POLICY tenant ON public.communication_gdpr_consent_events TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.communication_gdpr_consent_events FOR SELECT TO comms_ops, comms_auditor
USING (true);
CREATE POLICY maintenance ON public.communication_gdpr_consent_events TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.communication_gdpr_consent_events TO comms_app, comms_ops, comms_auditor;
GRANT SELECT, INSERT ON public.communication_gdpr_consent_events TO comms_maintenance;
