CREATE OR REPLACE FUNCTION internal.readiness_scheduled_jobs(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* The scheduled backups are scheduled, active, and their last run did not fail. */
DECLARE
    v_active bigint;
    v_failed bigint;
BEGIN
    SELECT
        count(*) FILTER (WHERE job.active),
        count(*) FILTER (WHERE last_run.status = 'failed')
    INTO v_active, v_failed
    FROM cron.job AS job
    LEFT JOIN LATERAL (
        SELECT run.status FROM cron.job_run_details AS run
        WHERE run.jobid = job.jobid ORDER BY run.runid DESC LIMIT 1
    ) AS last_run ON true
    WHERE job.jobname IN ('backup-full', 'backup-incremental');
    SELECT
        CASE WHEN v_active < 2 THEN 'fail' WHEN v_failed > 0 THEN 'warn' ELSE 'pass' END,
        format('%s active, %s failed last time', v_active, v_failed),
        '2 active (backup-full, backup-incremental), 0 failed last time',
        'SELECT * FROM cron.job_run_details ORDER BY runid DESC LIMIT 10; the bootstrap schedules what is missing.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_scheduled_jobs() IS 'Readiness: the scheduled backups run.';
REVOKE ALL ON FUNCTION internal.readiness_scheduled_jobs() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_scheduled_jobs() TO comms_ops, comms_monitor;
