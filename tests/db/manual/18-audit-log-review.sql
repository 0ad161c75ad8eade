SELECT
  event_type,
  user_id,
  ip_address,
  risk_level,
  success,
  COUNT(*) as occurrences
FROM communication_security_audit
WHERE created_at > NOW() - INTERVAL '24 hours'
GROUP BY event_type, user_id, ip_address, risk_level, success
ORDER BY risk_level DESC, occurrences DESC;
