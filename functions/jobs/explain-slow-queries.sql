-- Every ten minutes, while the statistics of what was slow are young.
SELECT cron.schedule('explain-slow-queries', '*/10 * * * *', $$SELECT public.explain_slow_queries()$$);
