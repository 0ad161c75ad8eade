CREATE OR REPLACE FUNCTION internal.health_queue_age(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* How long the oldest chunk that is due has waited for a worker. Minutes are usual while a big message goes out:
   organizations take turns. An hour means that nobody works, or too few. */
DECLARE
    v_oldest interval;
BEGIN
    SELECT max(now() - queued.run_at) INTO v_oldest
    FROM public.communication_batch_queue AS queued
    WHERE queued.operation_type = 'send' AND queued.state IN ('ready', 'scheduled') AND queued.run_at <= now();
    SELECT
        CASE
            WHEN v_oldest IS NULL OR v_oldest < interval '10 minutes' THEN 'pass'
            WHEN v_oldest < interval '1 hour' THEN 'warn'
            ELSE 'fail'
        END,
        coalesce(extract(EPOCH FROM v_oldest)::bigint || ' seconds', 'nothing is due'),
        'less than 600 seconds; 3600 fails',
        'See that workers run and that sending is not frozen; ask for more of them with a scale_workers message.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_queue_age() IS 'Health: how long the oldest chunk that is due has waited.';
REVOKE ALL ON FUNCTION internal.health_queue_age() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_queue_age() TO comms_ops, comms_monitor, comms_maintenance;
