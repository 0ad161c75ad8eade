-- Identify slow queries
SELECT
  query_hash,
  query_text,
  execution_time_ms,
  rows_affected
FROM communication_query_performance
WHERE execution_time_ms > 5000
  AND created_at > NOW() - INTERVAL '30 minutes'
ORDER BY execution_time_ms DESC;
