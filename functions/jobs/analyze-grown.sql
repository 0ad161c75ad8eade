-- Every 10 seconds: as long as plans made while a table was empty may last.
SELECT cron.schedule('analyze-grown', '10 seconds', $$SELECT internal.analyze_grown()$$);
