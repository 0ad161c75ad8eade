-- Review security audit logs
SELECT * FROM communication_security_audit
WHERE created_at > 'incident_start_time'
ORDER BY created_at DESC;
