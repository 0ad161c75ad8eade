-- Read by its tenant; written by record_consent(), withdraw_consent(), unsubscribe() and erase_guest().
CREATE POLICY tenant ON public.communication_gdpr_consent TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.communication_gdpr_consent FOR SELECT TO comms_ops, comms_auditor
USING (true);
CREATE POLICY maintenance ON public.communication_gdpr_consent TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.communication_gdpr_consent TO comms_app, comms_ops, comms_auditor;
GRANT SELECT, INSERT, UPDATE ON public.communication_gdpr_consent TO comms_maintenance;
