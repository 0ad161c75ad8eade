SET LOCAL ROLE comms_maintenance; -- it sums up every tenant
CREATE MATERIALIZED VIEW public.dashboard_queue AS
SELECT
    chunk.priority,
    chunk.state,
    count(*) AS chunks,
    sum(chunk.recipients)::bigint AS recipients,
    min(chunk.run_at) AS oldest_run_at,
    max(chunk.attempts) AS most_attempts
FROM public.communication_batch_queue AS chunk
WHERE chunk.operation_type = 'send'
GROUP BY 1, 2;

CREATE UNIQUE INDEX dashboard_queue_key ON public.dashboard_queue (priority, state);

COMMENT ON MATERIALIZED VIEW public.dashboard_queue IS
'Chunks in the queue and their recipients, per priority and state.';
GRANT SELECT ON public.dashboard_queue TO comms_report, comms_ops;
