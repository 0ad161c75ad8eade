CREATE OR REPLACE FUNCTION internal.health_maintenance(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* perform_communication_maintenance() ran in the last day, and the last run of every step succeeded. */
DECLARE
    v_last_run timestamptz;
    v_failed text;
BEGIN
    SELECT max(last_run.at), string_agg(last_run.step, ', ' ORDER BY last_run.step) FILTER (WHERE last_run.failed)
    INTO v_last_run, v_failed
    FROM (
        SELECT DISTINCT ON (metric.labels)
            metric.metric_timestamp AS at, metric.labels ->> 'step' AS step, metric.metric_value > 0 AS failed
        FROM public.communication_performance_metrics AS metric
        WHERE metric.metric_name = 'maintenance_failed' AND metric.metric_timestamp > now() - interval '7 days'
        ORDER BY metric.labels, metric.metric_timestamp DESC
    ) AS last_run;
    SELECT
        CASE
            WHEN v_last_run IS NULL THEN 'unknown'
            WHEN v_failed IS NOT NULL OR v_last_run < now() - interval '26 hours' THEN 'fail'
            ELSE 'pass'
        END,
        format('last run %s; failed: %s', coalesce(v_last_run::text, 'never'), coalesce(v_failed, 'none')),
        'less than 26 hours ago, none failed',
        'SELECT * FROM perform_communication_maintenance(); says why a step fails.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_maintenance() IS
'Health: maintenance ran in the last day and every step of it succeeded.';
REVOKE ALL ON FUNCTION internal.health_maintenance() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_maintenance() TO comms_ops, comms_monitor, comms_maintenance;
