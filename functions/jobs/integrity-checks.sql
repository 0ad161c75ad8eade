-- Every night: the health check "integrity" says what was found.
SELECT cron.schedule('integrity-checks', '23 3 * * *', $$SELECT * FROM public.run_integrity_checks()$$);
