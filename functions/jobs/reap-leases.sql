-- Every 30 seconds: claims do it, too, but nobody may be claiming.
SELECT cron.schedule('reap-leases', '30 seconds', $$SELECT internal.tend_queue()$$);
