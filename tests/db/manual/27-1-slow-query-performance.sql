-- Check for blocking queries
SELECT
  blocked.pid AS blocked_pid,
  blocked.query as blocked_query,
  blocking.pid AS blocking_pid,
  blocking.query as blocking_query
FROM pg_stat_activity blocked
JOIN pg_stat_activity blocking ON blocked.waiting = blocking.query
WHERE blocked.waiting;
