-- Check for rate limit violations
SELECT
  identifier,
  endpoint,
  SUM(request_count) as total_requests,
  COUNT(*) FILTER (WHERE limit_exceeded) as violations
FROM communication_rate_limits
WHERE window_start > NOW() - INTERVAL '1 hour'
GROUP BY identifier, endpoint
HAVING COUNT(*) FILTER (WHERE limit_exceeded) > 0
ORDER BY violations DESC;
