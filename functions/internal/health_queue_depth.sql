CREATE OR REPLACE FUNCTION internal.health_queue_depth(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* How many recipients are due in the queue. A million is an hour of work for a small crew of workers. */
DECLARE
    v_recipients bigint;
BEGIN
    SELECT coalesce(sum(queued.recipients), 0) INTO v_recipients
    FROM public.communication_batch_queue AS queued
    WHERE queued.operation_type = 'send' AND queued.state IN ('ready', 'scheduled') AND queued.run_at <= now();
    SELECT
        CASE WHEN v_recipients < 1000000 THEN 'pass' WHEN v_recipients < 5000000 THEN 'warn' ELSE 'fail' END,
        format('%s recipients', v_recipients),
        'less than 1000000 recipients; 5000000 fail',
        'Ask for more workers with a scale_workers message, and see in get_metrics_summary(60) whether the depth falls.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_queue_depth() IS 'Health: how many recipients wait to be sent to.';
REVOKE ALL ON FUNCTION internal.health_queue_depth() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_queue_depth() TO comms_ops, comms_monitor, comms_maintenance;
