-- Every minute: events that came before their message was known.
SELECT cron.schedule('match-delivery-events', '* * * * *', $$SELECT internal.match_delivery_events()$$);
