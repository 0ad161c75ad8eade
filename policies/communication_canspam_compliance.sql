-- Read by its tenant. Operations may ask for a check by INSERT: what it claims is replaced by what is true.
CREATE POLICY tenant ON public.communication_canspam_compliance TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.communication_canspam_compliance FOR SELECT TO comms_ops, comms_auditor
USING (true);
CREATE POLICY maintenance ON public.communication_canspam_compliance TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.communication_canspam_compliance TO comms_app, comms_ops, comms_auditor;
GRANT SELECT, INSERT, DELETE ON public.communication_canspam_compliance TO comms_maintenance;
CREATE POLICY hand_written ON public.communication_canspam_compliance FOR INSERT TO comms_ops
WITH CHECK (true);
GRANT INSERT (
    communication_id, has_unsubscribe_link, has_physical_address, has_clear_sender, subject_line_accurate,
    compliance_score
) ON public.communication_canspam_compliance TO comms_ops;
