-- Read by its tenant; written by events, unsubscribe() and withdraw_consent().
CREATE POLICY tenant ON public.suppressions TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.suppressions FOR SELECT TO comms_ops, comms_auditor
USING (true);
CREATE POLICY maintenance ON public.suppressions TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.suppressions TO comms_app, comms_ops, comms_auditor;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.suppressions TO comms_maintenance;
