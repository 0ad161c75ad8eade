-- Each minute, so that what happened can be seen afterwards.
SELECT cron.schedule('collect-metrics', '* * * * *', $$SELECT * FROM public.collect_performance_metrics()$$);
