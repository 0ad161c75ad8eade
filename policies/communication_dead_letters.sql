-- Read by its tenant and operations; written by the queue functions.
CREATE POLICY tenant ON public.communication_dead_letters TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.communication_dead_letters FOR SELECT TO comms_ops, comms_monitor
USING (true);
CREATE POLICY maintenance ON public.communication_dead_letters TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.communication_dead_letters TO comms_app, comms_ops;
-- Monitoring counts; what a provider said of somebody's address is not for it.
GRANT SELECT (
    organization_id, dead_letter_id, batch_id, communication_id, communication_created_at, recipients, reason, attempts,
    dead_at, redriven_at, redriven_by, redriven_recipients
) ON public.communication_dead_letters TO comms_monitor;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.communication_dead_letters TO comms_maintenance;
