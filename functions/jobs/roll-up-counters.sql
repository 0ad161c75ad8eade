-- Every 10 seconds: communications say how far they are, and nobody adds up many changes to ask.
SELECT cron.schedule('roll-up-counters', '10 seconds', $$SELECT internal.roll_up_counters()$$);
