CREATE OR REPLACE FUNCTION public.get_metrics_summary(p_minutes integer DEFAULT 60)
RETURNS TABLE (
    metric_name text, labels jsonb, measurements bigint, average double precision, minimum double precision,
    maximum double precision, p95 double precision, p99 double precision, latest double precision,
    increase double precision, latest_at timestamptz
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* What was measured in the last p_minutes, one row per metric and labels. p95 and p99 are those of the measurements:
   of single calls for probe_ms, of minutes for the others. increase is what counts for a metric that ends in _total.
   Raises GC300 for NULL, GC133 for minutes that are not 1 to 89280 (62 days: older ones are dropped). */
BEGIN
    IF p_minutes IS NULL THEN
        RAISE EXCEPTION 'p_minutes is NULL'
        USING ERRCODE = 'GC300', HINT = 'Give minutes, such as 60.';
    END IF;
    IF p_minutes NOT BETWEEN 1 AND 89280 THEN
        RAISE EXCEPTION 'p_minutes is %', p_minutes
        USING ERRCODE = 'GC133', HINT = 'Give 1 to 89280 minutes.';
    END IF;
    RETURN QUERY
    SELECT
        summed.metric_name, summed.labels, summed.measurements, summed.average, summed.minimum, summed.maximum,
        summed.percentiles[1], summed.percentiles[2], summed.latest, summed.latest - summed.earliest, summed.latest_at
    FROM (
        SELECT
            metric.metric_name, metric.labels, count(*) AS measurements, avg(metric.metric_value) AS average,
            min(metric.metric_value) AS minimum, max(metric.metric_value) AS maximum,
            percentile_cont(ARRAY[0.95, 0.99]) WITHIN GROUP (ORDER BY metric.metric_value) AS percentiles,
            (array_agg(metric.metric_value ORDER BY metric.metric_timestamp DESC))[1] AS latest,
            (array_agg(metric.metric_value ORDER BY metric.metric_timestamp))[1] AS earliest,
            max(metric.metric_timestamp) AS latest_at
        FROM public.communication_performance_metrics AS metric
        WHERE metric.metric_timestamp > now() - make_interval(mins => p_minutes)
        GROUP BY metric.metric_name, metric.labels
    ) AS summed
    ORDER BY summed.metric_name, summed.labels;
END
$plpgsql$;

COMMENT ON FUNCTION public.get_metrics_summary(integer) IS
'What was measured in the last minutes: average, extremes, percentiles and the latest value of each metric.';
REVOKE ALL ON FUNCTION public.get_metrics_summary(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.get_metrics_summary(integer) TO comms_ops, comms_monitor, comms_report;
