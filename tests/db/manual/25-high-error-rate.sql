-- Check error patterns
SELECT
  error_code,
  COUNT(*) as error_count,
  error_message
FROM delivery_status
WHERE status = 'failed'
  AND created_at > NOW() - INTERVAL '1 hour'
GROUP BY error_code, error_message
ORDER BY error_count DESC;
