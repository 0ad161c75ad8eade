SELECT
  metric_name,
  AVG(metric_value) as avg_value,
  MAX(metric_value) as max_value
FROM communication_performance_metrics
WHERE metric_timestamp > NOW() - INTERVAL '4 hours'
GROUP BY metric_name;
