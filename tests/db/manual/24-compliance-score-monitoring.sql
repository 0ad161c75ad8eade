-- Check compliance scores
SELECT
  AVG(compliance_score) as avg_compliance,
  COUNT(*) FILTER (WHERE compliance_score < 80) as non_compliant
FROM communication_canspam_compliance
WHERE validation_timestamp > NOW() - INTERVAL '24 hours';
