SELECT backup_id, status, row_count, backup_size_bytes
FROM communication_backups
WHERE DATE(started_at) = CURRENT_DATE;
