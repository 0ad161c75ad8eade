-- Every hour, a little at a time.
SELECT cron.schedule('expire-rate-limits', '41 * * * *', $$SELECT internal.expire_rate_limits()$$);
