-- as wedsync_ops
SELECT backup_communication_system('full');
-- as postgres
SELECT internal.claim_backup('pg-1', '1 minute');
SELECT internal.extend_backup_lease(backup_id, 'pg-1', 1, '1 minute') FROM communication_backups;
SELECT internal.complete_backup(backup_id, 'pg-1', 1, jsonb_build_object(
    'label', '20260102-030405F', 'type', 'full', 'checksum_errors', 0,
    'backup_size_bytes', 31457280, 'repository_size_bytes', 4194304,
    'lsn_start', '0/2000028', 'lsn_stop', '0/2000158',
    'wal_start', '000000010000000000000002', 'wal_stop', '000000010000000000000002',
    'started_at', now() - interval '9 seconds', 'completed_at', now()
)) FROM communication_backups;
SELECT backup_communication_system('incremental');
SELECT internal.claim_backup('pg-1', '1 minute');
SELECT internal.fail_backup(backup_id, 'pg-1', 1, 'x', NULL) FROM communication_backups WHERE status = 'running';
SELECT internal.expire_backups('{}');
SELECT internal.adopt_backups('[]');
-- as wedsync_ops
SELECT request_backup_check('verification');
-- as postgres
SELECT * FROM internal.claim_backup_check('wal_audit', 'pg-1', '1 minute');
SELECT internal.extend_backup_check_lease(check_id, 'pg-1', 1, '1 minute') FROM communication_backup_checks;
SELECT internal.complete_backup_check(
    check_id, 'pg-1', 1, '{"verdict": "sound", "findings": [], "figures": {"latest_restorable": 1}}'
) FROM communication_backup_checks WHERE kind = 'wal_audit';
SELECT * FROM internal.claim_backup_check('verification', 'pg-1', '1 minute');
SELECT internal.fail_backup_check(check_id, 'pg-1', 1, 'x', '1 minute')
FROM communication_backup_checks WHERE kind = 'verification';
INSERT INTO communication_recovery_points (recovery_point_id, recovery_type) VALUES ('x', 'point_in_time');
SELECT internal.desired_pools();
UPDATE communication_pool_config SET max_connections = 30;
SELECT internal.report_pool_applied('production', 'pg-1', 2, '{}');
SELECT internal.report_pool_load('production', 'pg-1', 1, 20);
-- as wedsync_ops
SELECT * FROM verify_production_readiness() WHERE status <> 'pass';
-- as postgres
-- as wedsync_ops
SELECT check_communication_system_health();
SELECT collect_performance_metrics();
SELECT get_metrics_summary(60);
SELECT get_connection_metrics();
SELECT explain_slow_queries(0);
SELECT table_sizes();
SELECT index_usage();
SELECT blocking_queries();
SELECT run_integrity_checks();
SELECT repair_integrity(check_name, false) FROM run_integrity_checks() WHERE fixable;
SELECT perform_communication_maintenance();
-- as guestcomms_cron
SELECT internal.refresh_dashboards();
SELECT internal.maintain_partitions();
