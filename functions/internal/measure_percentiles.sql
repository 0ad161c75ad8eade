SET LOCAL ROLE comms_maintenance; -- it measures over every tenant, and shows sums only
CREATE OR REPLACE FUNCTION internal.measure_percentiles()
RETURNS TABLE (metric_name text, labels jsonb, metric_value double precision, measured_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Average and percentiles of the probe calls of the last quarter of an hour: some 300, enough for a P99. */
    SELECT figure.name, '{}'::jsonb, figure.value, now()
    FROM (
        SELECT
            avg(probe.metric_value) AS average,
            percentile_cont(ARRAY[0.95, 0.99]) WITHIN GROUP (ORDER BY probe.metric_value) AS percentiles
        FROM public.communication_performance_metrics AS probe
        WHERE probe.metric_name = 'probe_ms' AND probe.metric_timestamp > now() - interval '15 minutes'
    ) AS probes
    CROSS JOIN LATERAL (
        VALUES
        ('probe_avg_ms', probes.average), ('probe_p95_ms', probes.percentiles[1]),
        ('probe_p99_ms', probes.percentiles[2])
    ) AS figure (name, value)
    WHERE figure.value IS NOT NULL
$sql$;

COMMENT ON FUNCTION internal.measure_percentiles() IS 'Metrics: average and percentiles of the probe calls.';
REVOKE ALL ON FUNCTION internal.measure_percentiles() FROM PUBLIC;
