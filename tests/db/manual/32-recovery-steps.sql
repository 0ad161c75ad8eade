-- Restore from most recent backup
SELECT * FROM backup_communication_system('emergency_restore');

-- Verify data integrity after restore
SELECT * FROM check_communication_system_health();
