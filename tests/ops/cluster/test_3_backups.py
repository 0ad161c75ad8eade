"""Backups: asked for by a row, taken by the agent, visible to pgBackRest, proven by a restore."""

from __future__ import annotations

import json
import time

from tests.ops.cluster.harness import Cluster
from tests.waiting import wait_until

AS_POSTGRES = "runuser -u postgres --"
PGBACKREST = f"{AS_POSTGRES} pgbackrest --stanza=wedsync"
DRILL = "/var/lib/postgresql/drill"


def labels(cluster: Cluster) -> list[str]:
    """Labels of the backups that pgBackRest itself finds in the store."""
    (stanza,) = json.loads(cluster.on(cluster.leader, f"{PGBACKREST} info --output=json"))
    return [backup["label"] for backup in stanza["backup"]]


def test_up_has_taken_a_first_full_backup(cluster: Cluster) -> None:
    first = cluster.json("backup", "list")[-1]
    assert (first["backup_type"], first["status"]) == ("full", "completed")
    assert first["label"] in labels(cluster)
    assert first["backup_size_bytes"] > 0


def test_an_incremental_backup_by_row(cluster: Cluster) -> None:
    taken = cluster.json("backup", "run", "incremental", "--wait")
    assert taken["status"] == "completed"
    assert taken["label"] in labels(cluster)
    rows = cluster.query(
        "SELECT backup_id, lsn_start < lsn_stop, wal_start <= wal_stop, checksum_errors, node"
        " FROM communication_backups",
        "--role", "ops",
    )  # fmt: skip
    assert (taken["backup_id"], True, True, 0, cluster.leader) in rows


def test_a_backup_that_fails_says_why(cluster: Cluster) -> None:
    leader = cluster.leader
    cluster.on(leader, f"{PGBACKREST} stop")
    try:
        failed = cluster.run("backup", "run", "full", "--wait", ok=False)
    finally:
        cluster.on(leader, f"{PGBACKREST} start")
    assert failed.returncode != 0
    status, error = cluster.query(
        "SELECT status, error FROM communication_backups ORDER BY requested_at DESC LIMIT 1",
        "--role", "ops",
    )[0]  # fmt: skip
    assert status == "failed"
    assert "stop file exists" in error


def test_repository_is_encrypted_versioned_and_locked(cluster: Cluster) -> None:
    assert "cipher: aes-256-cbc" in cluster.on(cluster.leader, f"{PGBACKREST} info")
    s3 = (
        'python3 -c \'import json;k=json.load(open("/etc/guestcomms/secrets/s3.json"))["%s"];'
        'print("user = \\"%%s:%%s\\"" %% (k["access_key"],k["secret_key"]))\' | curl -s'
        " -o /tmp/out -w '%%{http_code}' --config - --cacert /etc/guestcomms/tls/ca.crt"
        " --aws-sigv4 aws:amz:us-east-1:s3 %s"
    )
    bucket = "https://store-1:8333/wedsync-backups"
    assert cluster.on("store-1", s3 % ("admin", f"'{bucket}?object-lock='")) == "200"
    assert "COMPLIANCE" in cluster.on("store-1", "cat /tmp/out")
    assert cluster.on("store-1", s3 % ("admin", f"'{bucket}?versions=&max-keys=1'")) == "200"
    listing = cluster.on("store-1", "cat /tmp/out")
    key = listing.split("<Key>")[1].split("</Key>")[0]
    version = listing.split("<VersionId>")[1].split("</VersionId>")[0]
    delete = f"-X DELETE '{bucket}/{key}?versionId={version}'"
    assert cluster.on("store-1", s3 % ("backup", delete)) == "403"
    assert cluster.on("store-1", s3 % ("drill", f"-X PUT -d x {bucket}/intruder")) == "403"
    assert cluster.on("store-1", s3 % ("drill", f"'{bucket}?list-type=2&max-keys=1'")) == "200"


def test_idle_wal_reaches_the_archive_in_time(cluster: Cluster) -> None:
    """At most 60 s of writes may be lost with the whole cluster; archive_timeout is 30 s."""
    archived = "SELECT last_archived_time FROM pg_stat_archiver"
    cluster.query("SELECT create_organization(gen_random_uuid(), 'Archive me')", "--role", "ops")
    began = time.monotonic()
    (before,) = cluster.query("SELECT now()", "--role", "ops")[0]
    wait_until(lambda: (cluster.query(archived, "--role", "ops")[0][0] or before) > before, 60)
    assert time.monotonic() - began <= 60


def test_a_drill_proves_the_backup_and_leaves_nothing(cluster: Cluster) -> None:
    """Restored on the drill machine to a point made for it, compared, and destroyed."""
    drill = cluster.json("restore", "drill")
    assert (drill["status"], drill["verdict"], drill["node"]) == ("completed", "proven", "drill-1")
    checks = [finding["check"] for finding in drill["findings"] if finding["passed"]]
    assert checks == ["target", "canaries", "content", "cut off", "pages and indexes"]
    assert drill["label"] in labels(cluster)
    assert 0 < drill["archived_seconds"] <= 60  # R5: at most this much is lost with everything
    assert cluster.on("drill-1", f"ls {DRILL}") == ""
    proven = "SELECT value FROM verify_production_readiness() WHERE check_name = 'restore_proven'"
    ((value,),) = cluster.query(f"{proven} AND status = 'pass'", "--role", "ops")
    assert "the last drill: proven" in value
    consistent = "SELECT consistent FROM communication_recovery_points WHERE recovery_point_id = "
    assert cluster.query(f"{consistent}'{drill['recovery_point_id']}'", "--role", "ops") == [
        (True,)
    ]


def test_a_point_made_by_hand_is_restored_and_kept_to_look_at(cluster: Cluster) -> None:
    """Exactly what was there at the point: one organization before it, none behind it."""
    make = "SELECT create_organization(gen_random_uuid(), '{}')"
    point = f"by_hand_{time.time_ns()}"
    cluster.query(make.format("Before the point"), "--role", "ops")
    cluster.query(
        "INSERT INTO communication_recovery_points (recovery_point_id, recovery_type)"
        f" VALUES ('{point}', 'before_change')",
        "--role", "ops",
    )  # fmt: skip
    cluster.query(make.format("After the point"), "--role", "ops")
    kept = cluster.json("restore", "drill", "--to", point, "--keep")
    assert kept["verdict"] == "proven"
    psql = f"{AS_POSTGRES} psql -h {DRILL}/{kept['drill_id']} -d wedsync -Atc"
    names = cluster.on("drill-1", f'{psql} "SELECT name FROM organizations"').splitlines()
    assert "Before the point" in names
    assert "After the point" not in names
    refused = cluster.on("drill-1", f'{psql} "CREATE TABLE x ()" 2>&1 || true')
    assert "read-only transaction" in refused
    cluster.run("restore", "release", kept["drill_id"])
    wait_until(lambda: cluster.on("drill-1", f"ls {DRILL}") == "", 30)
