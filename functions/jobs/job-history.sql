-- Every night: pg_cron itself keeps the history of runs for ever.
SELECT cron.schedule(
    'job-history', '7 4 * * *', $$DELETE FROM cron.job_run_details WHERE end_time < now() - interval '7 days'$$
);
