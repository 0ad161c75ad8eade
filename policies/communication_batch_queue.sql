-- Chunks are written by the sending and queue functions. Operations may add a control message by hand,
-- which is of no tenant; nobody else sees the queue.
CREATE POLICY tenant ON public.communication_batch_queue TO comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY operations ON public.communication_batch_queue FOR SELECT TO comms_ops, comms_monitor
USING (true);
CREATE POLICY control_messages ON public.communication_batch_queue FOR INSERT TO comms_ops
WITH CHECK (
    organization_id = '00000000-0000-0000-0000-000000000000'::uuid AND operation_type = 'scale_workers'
);
CREATE POLICY maintenance ON public.communication_batch_queue TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.communication_batch_queue TO comms_ops;
-- Monitoring counts; what a provider said of somebody's address, and who may speak for a chunk, is not for it.
GRANT SELECT (
    organization_id, batch_id, operation_type, channel, payload, priority, state, run_at, fair_rank, communication_id,
    communication_created_at, recipients, leased_by, leased_at, handed_out, lease_until, attempts, max_attempts,
    created_at, created_by
) ON public.communication_batch_queue TO comms_monitor;
GRANT INSERT (batch_id, operation_type, payload, priority) ON public.communication_batch_queue TO comms_ops;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.communication_batch_queue TO comms_maintenance;
