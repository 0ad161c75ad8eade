"""Every function of ours runs: PostgreSQL reads a body when it is called, not when it is made."""

from __future__ import annotations

import json

from guestcomms import db

from tests.db.server import Database
from tests.db.test_backups import result

SCRIPT = """
SELECT create_organization(
    '018f0000-0000-7000-8000-000000000001', 'A', 'UTC', ARRAY['wedsync_app']::name[]
);
SELECT create_organization(NULL, 'B');
SELECT set_login_unrestricted('wedsync_worker', true, 'sends');
SELECT unbind_login('018f0000-0000-7000-8000-000000000001', 'wedsync_app');
SELECT backup_communication_system('full');
SELECT internal.claim_backup('pg-1', '1 minute');
SELECT internal.extend_backup_lease(backup_id, 'pg-1', 1, '1 minute') FROM communication_backups;
SELECT internal.complete_backup(backup_id, 'pg-1', 1, 'RESULT') FROM communication_backups;
SELECT backup_communication_system('incremental');
SELECT internal.claim_backup('pg-1', '1 minute');
SELECT internal.fail_backup(backup_id, 'pg-1', 1, 'x', NULL)
FROM communication_backups WHERE status = 'running';
SELECT internal.expire_backups('{}');
INSERT INTO communication_recovery_points (recovery_point_id, recovery_type)
VALUES ('x', 'point_in_time');
SELECT internal.desired_pools();
UPDATE communication_pool_config SET max_connections = 30;
SELECT internal.report_pool_applied('production', 'pg-1', 2, '{}');
SELECT verify_production_readiness();
SELECT internal.aes256_gcm_decrypt(key, internal.aes256_gcm_encrypt(key, 'x', ''), '')
FROM (SELECT decode(repeat('00', 32), 'hex') AS key);
SELECT internal.unwrap_key(internal.wrap_key(decode(repeat('00', 32), 'hex'), ''), '')
"""
AS_WORKER = "SELECT enter_tenant('018f0000-0000-7000-8000-000000000001')"


def test_every_function_has_run(database: Database) -> None:
    database.server.execute(f"ALTER DATABASE {database.name} SET track_functions = 'all'")
    for statement in SCRIPT.replace("RESULT", json.dumps(result())).split(";"):
        database.execute(statement)
    database.execute(AS_WORKER, "wedsync_worker")
    with database.connect() as connection:
        idle = db.rows(
            connection,
            """
            SELECT routine.oid::regprocedure::text AS name FROM pg_proc AS routine
            LEFT JOIN pg_stat_user_functions AS used ON used.funcid = routine.oid
            WHERE routine.pronamespace IN ('public'::regnamespace, 'internal'::regnamespace)
                AND coalesce(used.calls, 0) = 0
            """,
        )
    assert [row["name"] for row in idle] == []
