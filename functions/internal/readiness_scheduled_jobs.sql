CREATE OR REPLACE FUNCTION internal.readiness_scheduled_jobs(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* What a production database cannot be without is scheduled, active, and its last run did not fail: backups,
   partitions, the queue, its counters. The health check looks at all jobs. */
DECLARE
    v_wanted constant text[] := ARRAY[
        'backup-full', 'backup-incremental', 'maintain-partitions', 'roll-up-counters', 'tend-queue'
    ];
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
    WHERE job.jobname = ANY (v_wanted);
    SELECT
        CASE WHEN v_active < cardinality(v_wanted) THEN 'fail' WHEN v_failed > 0 THEN 'warn' ELSE 'pass' END,
        format('%s active, %s failed last time', v_active, v_failed),
        format('%s active (%s), 0 failed last time', cardinality(v_wanted), array_to_string(v_wanted, ', ')),
        'SELECT * FROM cron.job_run_details ORDER BY runid DESC LIMIT 10; `make up` schedules what is missing.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_scheduled_jobs() IS 'Readiness: the jobs that production needs run.';
REVOKE ALL ON FUNCTION internal.readiness_scheduled_jobs() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_scheduled_jobs() TO comms_ops, comms_monitor;
