-- Every night: partitions, retention, statistics; what fails shows in the health check "maintenance".
SELECT cron.schedule('maintenance', '41 2 * * *', $$SELECT * FROM public.perform_communication_maintenance()$$);
