CREATE OR REPLACE FUNCTION internal.health_jobs(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Every job is active and its last run did not fail; and the scheduler itself works: some job ran in the last minutes. */
DECLARE
    v_jobs bigint;
    v_inactive text;
    v_failed text;
    v_last_start timestamptz;
BEGIN
    SELECT
        count(*),
        string_agg(job.jobname, ', ' ORDER BY job.jobname) FILTER (WHERE NOT job.active),
        string_agg(job.jobname, ', ' ORDER BY job.jobname) FILTER (WHERE last_run.status = 'failed'),
        max(last_run.start_time)
    INTO v_jobs, v_inactive, v_failed, v_last_start
    FROM cron.job AS job
    LEFT JOIN LATERAL (
        SELECT run.status, run.start_time FROM cron.job_run_details AS run
        WHERE run.jobid = job.jobid AND run.status IN ('succeeded', 'failed') ORDER BY run.runid DESC LIMIT 1
    ) AS last_run ON true;
    SELECT
        CASE
            WHEN v_jobs = 0 OR v_failed IS NOT NULL OR v_last_start < now() - interval '10 minutes' THEN 'fail'
            WHEN v_last_start IS NULL THEN 'unknown'
            WHEN v_inactive IS NOT NULL THEN 'warn'
            ELSE 'pass'
        END,
        format(
            '%s jobs; inactive: %s; failed: %s; last run %s', v_jobs, coalesce(v_inactive, 'none'),
            coalesce(v_failed, 'none'), coalesce(v_last_start::text, 'never')
        ),
        'none inactive, none failed, one ran in the last 10 minutes',
        'SELECT * FROM cron.job_run_details WHERE status = ''failed'' ORDER BY runid DESC LIMIT 10;'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_jobs() IS 'Health: every scheduled job runs and succeeds.';
REVOKE ALL ON FUNCTION internal.health_jobs() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_jobs() TO comms_ops, comms_monitor, comms_maintenance;
