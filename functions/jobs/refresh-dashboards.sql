-- Every five minutes: a dashboard need not be exact, and a refresh reads a day of events.
SELECT cron.schedule('refresh-dashboards', '*/5 * * * *', $$SELECT internal.refresh_dashboards()$$);
