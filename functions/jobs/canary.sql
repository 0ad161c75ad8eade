-- Every minute, around which a restore can be checked; and so that an idle cluster has something to archive.
SELECT cron.schedule('canary', '* * * * *', $$SELECT internal.write_canary(NULL)$$);
