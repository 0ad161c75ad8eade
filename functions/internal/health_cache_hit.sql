CREATE OR REPLACE FUNCTION internal.health_cache_hit(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* The share of pages that were found in shared_buffers, in the last quarter of an hour as the metrics have it. */
DECLARE
    v_percent double precision;
BEGIN
    SELECT avg(metric.metric_value) INTO v_percent
    FROM public.communication_performance_metrics AS metric
    WHERE metric.metric_name = 'cache_hit_percent' AND metric.metric_timestamp > now() - interval '15 minutes';
    SELECT
        CASE
            WHEN v_percent IS NULL THEN 'unknown'
            WHEN v_percent >= 90 THEN 'pass'
            WHEN v_percent >= 70 THEN 'warn'
            ELSE 'fail'
        END,
        coalesce(round(v_percent::numeric, 1) || ' %', 'not measured in the last 15 minutes'),
        'at least 90 %; less than 70 % fails',
        'Look for statements that read much (explain_slow_queries()), or give PostgreSQL more memory in the stack file.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_cache_hit() IS 'Health: pages are found in memory.';
REVOKE ALL ON FUNCTION internal.health_cache_hit() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_cache_hit() TO comms_ops, comms_monitor, comms_maintenance;
