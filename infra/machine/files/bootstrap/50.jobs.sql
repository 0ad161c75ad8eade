-- Scheduled jobs. They fail harmlessly, and visibly in cron.job_run_details, until migrations have run.

-- pg_cron lets everybody with USAGE on its schema make jobs: only guestcomms_cron has it, and those who
-- have to see whether jobs run.
REVOKE ALL ON SCHEMA cron FROM PUBLIC;
GRANT USAGE ON SCHEMA cron TO guestcomms_cron, comms_ops, comms_monitor;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA cron FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cron.schedule(text, text, text), cron.unschedule(text) TO guestcomms_cron;

-- pg_cron shows each role its own jobs; operations and monitoring see all, and change none.
DO $policies$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['job', 'job_run_details'] LOOP
        IF NOT EXISTS (
            SELECT FROM pg_policy
            WHERE polname = 'guestcomms_read' AND polrelid = format('cron.%I', v_table)::regclass
        ) THEN
            EXECUTE format(
                'CREATE POLICY guestcomms_read ON cron.%I FOR SELECT TO comms_ops, comms_monitor USING (true)',
                v_table
            );
        END IF;
        EXECUTE format('REVOKE ALL ON cron.%I FROM PUBLIC', v_table);
        EXECUTE format('GRANT SELECT ON cron.%I TO guestcomms_cron, comms_ops, comms_monitor', v_table);
    END LOOP;
    -- pg_cron keeps the history of runs for ever; a job of ours does not. Each role reaches its own runs only.
    GRANT DELETE ON cron.job_run_details TO guestcomms_cron;
END
$policies$;

-- A job runs as the role that scheduled it. A schedule is written only where it differs.
SET LOCAL ROLE guestcomms_cron;
WITH wanted (job, schedule, command) AS (
    VALUES
    ('backup-full', '${backup_full_schedule}', 'SELECT public.backup_communication_system(''full'')'),
    (
        'backup-incremental', '${backup_incremental_schedule}',
        'SELECT public.backup_communication_system(''incremental'')'
    ),
    ('backup-wal-audit', '${backup_wal_audit_schedule}', 'SELECT public.request_backup_check(''wal_audit'')'),
    ('backup-verification', '${backup_verify_schedule}', 'SELECT public.request_backup_check(''verification'')'),
    ('restore-drill', '${restore_drill_schedule}', 'SELECT public.request_restore_drill()')
)

SELECT cron.schedule(wanted.job, wanted.schedule, wanted.command)
FROM wanted
WHERE NOT EXISTS (
    SELECT FROM cron.job AS existing
    WHERE
        existing.jobname = wanted.job AND existing.schedule = wanted.schedule
        AND existing.command = wanted.command
);
RESET ROLE;
