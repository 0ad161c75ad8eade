SET LOCAL ROLE comms_maintenance; -- it measures over every tenant, and shows sums only
CREATE OR REPLACE FUNCTION internal.measure_queue()
RETURNS TABLE (metric_name text, labels jsonb, metric_value double precision, measured_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* What waits in the queue, and what was given up. */
    SELECT 'queue_chunks', jsonb_build_object('state', queued.state), count(*)::double precision, now()
    FROM public.communication_batch_queue AS queued WHERE queued.operation_type = 'send' GROUP BY queued.state
    UNION ALL
    SELECT 'queue_recipients', '{}'::jsonb, coalesce(sum(queued.recipients), 0)::double precision, now()
    FROM public.communication_batch_queue AS queued
    WHERE queued.operation_type = 'send' AND queued.state <> 'leased' AND queued.run_at <= now()
    UNION ALL
    SELECT
        'queue_oldest_seconds', '{}'::jsonb,
        coalesce(extract(EPOCH FROM max(now() - queued.run_at)), 0)::double precision, now()
    FROM public.communication_batch_queue AS queued
    WHERE queued.operation_type = 'send' AND queued.state <> 'leased' AND queued.run_at <= now()
    UNION ALL
    SELECT 'dead_letters_open', '{}'::jsonb, count(*)::double precision, now()
    FROM public.communication_dead_letters AS dead WHERE dead.redriven_at IS NULL
$sql$;

COMMENT ON FUNCTION internal.measure_queue() IS 'Metrics: what waits in the queue, and what was given up.';
REVOKE ALL ON FUNCTION internal.measure_queue() FROM PUBLIC;
