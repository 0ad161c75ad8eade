SELECT
  query_text,
  calls,
  total_time,
  mean_time,
  rows
FROM pg_stat_statements
WHERE mean_time > 1000  -- Queries taking > 1 second on average
ORDER BY total_time DESC;
