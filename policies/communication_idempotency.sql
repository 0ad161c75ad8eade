-- Nobody reads answers of others: only the functions that wrote them.
CREATE POLICY tenant ON public.communication_idempotency TO comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY maintenance ON public.communication_idempotency TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT, INSERT, DELETE ON public.communication_idempotency TO comms_maintenance;
