CREATE OR REPLACE FUNCTION internal.health_metrics(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Measurements are made each minute; without them other checks are unknown. */
DECLARE
    v_newest timestamptz;
BEGIN
    SELECT max(metric.metric_timestamp) INTO v_newest
    FROM public.communication_performance_metrics AS metric
    WHERE metric.metric_name = 'connections_used';
    SELECT
        CASE
            WHEN v_newest IS NULL THEN 'unknown' WHEN v_newest > now() - interval '5 minutes' THEN 'pass' ELSE 'fail'
        END,
        coalesce(v_newest::text, 'none yet'),
        'less than 5 minutes old',
        'SELECT * FROM cron.job_run_details ORDER BY runid DESC; shows what the job collect-metrics said.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_metrics() IS 'Health: measurements are made each minute.';
REVOKE ALL ON FUNCTION internal.health_metrics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_metrics() TO comms_ops, comms_monitor, comms_maintenance;
