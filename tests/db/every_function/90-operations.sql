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
-- as wedsync_ops
SELECT request_restore_drill();
-- as postgres
SELECT internal.claim_drill('drill-1', '1 minute');
SELECT internal.extend_drill_lease(drill_id, 'drill-1', 1, '1 minute', 'x') FROM communication_restore_drills;
SELECT internal.mark_drill_point(drill_id, 'drill-1', 1) FROM communication_restore_drills;
SELECT internal.write_canary(NULL);
SELECT internal.canaries_at(pg_current_wal_lsn());
SELECT internal.canary_before_transaction(pg_current_xact_id());
SELECT internal.content_hashes(name) FROM internal.content_tables() AS name;
SELECT internal.kept_copies('drill-1');
SELECT internal.complete_drill(drill_id, 'drill-1', 1, jsonb_build_object(
    'label', '20260102-030405F', 'reached_lsn', '0/2000158', 'restore_seconds', 1, 'recovery_seconds', 1,
    'findings', jsonb_build_array(jsonb_build_object('check', 'target', 'passed', true))
)) FROM communication_restore_drills;
-- as wedsync_ops
SELECT request_restore_drill('lsn', pg_current_wal_lsn()::text, false, true);
-- as postgres
SELECT internal.claim_drill('drill-1', '1 minute');
SELECT internal.fail_drill(drill_id, 'drill-1', 1, 'x', NULL) FROM communication_restore_drills
WHERE status = 'running';
-- as wedsync_ops
SELECT release_restore(drill_id) FROM communication_restore_drills WHERE keep;
SELECT request_table_restore('guests', 'lsn', pg_current_wal_lsn()::text, false, 'erased_at IS NULL');
-- as postgres
SELECT internal.claim_drill('drill-1', '1 minute');
SELECT internal.table_restore_wanted(drill_id) FROM communication_table_restores;
SELECT internal.open_side_table(
    drill_id, 'drill-1', 1, '{"columns": [{"name": "guest_id", "type": "uuid"}], "key": ["guest_id"]}'
) FROM communication_table_restores;
SELECT internal.close_side_table(drill_id, 'drill-1', 1, 0) FROM communication_table_restores;
SELECT internal.fail_drill(drill_id, 'drill-1', 1, 'x', NULL) FROM communication_restore_drills
WHERE status = 'running';
-- as wedsync_ops
SELECT drop_restored_table(drill_id) FROM communication_table_restores;
-- as postgres
SELECT freeze_sending('restored');
SELECT internal.record_cluster_restore('{"restore_id": "restore_20260102_030405", "target_type": "time",
    "target": "2026-01-02 03:04:05+00", "inclusive": true, "label": "20260102-030405F", "reached_lsn": "0/2000158",
    "abandoned_timeline": 1, "abandoned_at": "2026-01-02 04:04:05+00"}');
SELECT internal.apply_protective_facts(found.kind, jsonb_agg(found.fact))
FROM internal.protective_facts('-infinity') AS found GROUP BY found.kind;
SELECT internal.apply_protective_facts(kind, '[]') FROM unnest(ARRAY[
    'organization', 'key', 'suppression', 'withdrawal', 'preference', 'cancellation', 'communication', 'message',
    'request', 'erasure'
]) AS kind;
SELECT internal.finish_cluster_restore('restore_20260102_030405', '{}');
SELECT internal.document_cluster_restore('restore_20260102_030405', '{"what": "cluster_restore"}');
SELECT internal.document_undone_restore(
    '{"restore_id": "restore_20260102_030406", "label": "20260102-030405F",
      "target": {"type": "time", "value": "2026-01-02 03:04:05+00", "inclusive": true}}'
);
SELECT internal.failed_run('backup', 'pg-1', now(), 'x');
-- as wedsync_ops
SELECT forgo_protective_facts('x');
SELECT thaw_sending();
-- as postgres
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
SELECT internal.count_deliveries();
SELECT internal.refresh_dashboards();
SELECT internal.maintain_partitions();
SELECT internal.analyze_grown();
