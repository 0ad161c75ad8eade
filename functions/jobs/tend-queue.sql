-- Every minute, should no worker claim: what was handed out must not stay in doubt because nobody asks.
SELECT cron.schedule('tend-queue', '* * * * *', $$SELECT internal.tend_queue(1000)$$);
