SELECT * FROM communication_backups
WHERE completed_at > NOW() - INTERVAL '24 hours'
ORDER BY completed_at DESC;
