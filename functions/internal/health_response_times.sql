CREATE OR REPLACE FUNCTION internal.health_response_times(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Average of all statements, and percentiles of the probe calls, in the last quarter of an hour. What the percentiles
   are is said in collect_performance_metrics(). */
DECLARE
    v_average double precision;
    v_p95 double precision;
    v_p99 double precision;
BEGIN
    SELECT
        avg(metric.metric_value) FILTER (WHERE metric.metric_name = 'statement_avg_ms'),
        percentile_cont(0.95) WITHIN GROUP (ORDER BY metric.metric_value)
            FILTER (WHERE metric.metric_name = 'probe_ms'),
        percentile_cont(0.99) WITHIN GROUP (ORDER BY metric.metric_value)
            FILTER (WHERE metric.metric_name = 'probe_ms')
    INTO v_average, v_p95, v_p99
    FROM public.communication_performance_metrics AS metric
    WHERE
        metric.metric_name IN ('statement_avg_ms', 'probe_ms')
        AND metric.metric_timestamp > now() - interval '15 minutes';
    SELECT
        CASE
            WHEN v_p95 IS NULL THEN 'unknown'
            WHEN coalesce(v_average, 0) < 100 AND v_p95 < 500 AND v_p99 < 1000 THEN 'pass'
            WHEN coalesce(v_average, 0) < 500 AND v_p95 < 1000 AND v_p99 < 2000 THEN 'warn'
            ELSE 'fail'
        END,
        CASE
            WHEN v_p95 IS NULL THEN 'not measured in the last 15 minutes'
            ELSE
                format(
                    'average %s ms, P95 %s ms, P99 %s ms', coalesce(round(v_average::numeric, 1)::text, '-'),
                    round(v_p95::numeric, 1), round(v_p99::numeric, 1)
                )
        END,
        'average 100, P95 500, P99 1000 ms; 500, 1000, 2000 fail',
        'SELECT * FROM communication_query_performance ORDER BY created_at DESC, execution_time_ms DESC LIMIT 20;'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_response_times() IS 'Health: statements and probes are fast.';
REVOKE ALL ON FUNCTION internal.health_response_times() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_response_times() TO comms_ops, comms_monitor, comms_maintenance;
