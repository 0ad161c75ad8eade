-- Read by its tenant; written by place_legal_hold() and lift_legal_hold().
CREATE POLICY tenant ON public.legal_holds TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.legal_holds FOR SELECT TO comms_ops, comms_auditor
USING (true);
CREATE POLICY maintenance ON public.legal_holds TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.legal_holds TO comms_app, comms_ops, comms_auditor;
GRANT SELECT ON public.legal_holds TO comms_maintenance;
