-- Run daily backup
SELECT * FROM backup_communication_system('full');

-- Verify backup integrity
SELECT
  backup_id,
  status,
  row_count,
  backup_size_bytes,
  completed_at
FROM communication_backups
WHERE DATE(started_at) = CURRENT_DATE;
