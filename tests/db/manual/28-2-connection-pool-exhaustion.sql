SELECT count(*) as active_connections
FROM pg_stat_activity
WHERE state = 'active';
