"""Backups: asked for by a row, taken by the agent, visible to pgBackRest, proven by a restore."""

from __future__ import annotations

import json
import time

import pytest

from tests.ops.cluster.harness import Cluster
from tests.waiting import wait_until

AS_POSTGRES = "runuser -u postgres --"
PGBACKREST = f"{AS_POSTGRES} pgbackrest --stanza=wedsync"
DRILL = "/var/lib/postgresql/drill"
PG_CTL = f"{AS_POSTGRES} /usr/lib/postgresql/17/bin/pg_ctl -D {DRILL}"
LOG = f"tail -n 20 {DRILL}/log"
AMCHECK = f"{AS_POSTGRES} /usr/lib/postgresql/17/bin/pg_amcheck -h {DRILL} -p 5499"


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


@pytest.fixture
def restore_point(cluster: Cluster) -> str:
    """A named moment with one organization before it and one after it."""
    name = f"drill_{time.time_ns()}"
    cluster.query(
        "SELECT create_organization(gen_random_uuid(), 'Before the point')", "--role", "ops"
    )
    psql = f"{AS_POSTGRES} psql -d wedsync -Atc"
    cluster.on(cluster.leader, f"{psql} \"SELECT pg_create_restore_point('{name}')\"")
    cluster.query(
        "SELECT create_organization(gen_random_uuid(), 'After the point')", "--role", "ops"
    )
    cluster.on(cluster.leader, f"{psql} 'SELECT pg_switch_wal()'")
    cluster.on(cluster.leader, f"{PGBACKREST} check")  # returns once the last WAL is in the store
    return name


def test_the_backup_restores_on_the_drill_machine(cluster: Cluster, restore_point: str) -> None:
    backup = labels(cluster)[0]
    cluster.on(
        "drill-1",
        f"rm -rf {DRILL} && {PGBACKREST} --set={backup} --type=name --target={restore_point}"
        " --target-action=promote --archive-mode=off restore",
    )
    # The copy keeps to itself: no network, a socket of its own, none of the cluster's jobs. It is
    # no hot standby on the way: that would pause where the cluster once raised max_connections.
    cluster.on(
        "drill-1",
        f"echo 'local all postgres peer' > {DRILL}/drill_hba.conf;"
        f" {PG_CTL} -w -t 60 -l {DRILL}/log -o \"-p 5499 -c listen_addresses=''"
        f" -c unix_socket_directories={DRILL} -c hba_file={DRILL}/drill_hba.conf -c ssl=off"
        ' -c hot_standby=off -c cron.launch_active_jobs=off" start',
    )
    try:
        wait_until(lambda: has_promoted(cluster), 60, lambda: cluster.on("drill-1", LOG))
        names = drill(cluster, "SELECT name FROM organizations")
        assert "Before the point" in names
        assert "After the point" not in names
        assert cluster.on("drill-1", f"{AMCHECK} --heapallindexed wedsync") == ""
    finally:
        cluster.on("drill-1", f"{PG_CTL} -m immediate stop; rm -rf {DRILL}")


def has_promoted(cluster: Cluster) -> bool:
    """Whether the copy has reached its target and accepts connections."""
    asked = f"{AS_POSTGRES} psql -h {DRILL} -p 5499 -d wedsync -Atc 'SELECT pg_is_in_recovery()'"
    return cluster.on("drill-1", f"{asked} 2>/dev/null || true").strip() == "f"


def drill(cluster: Cluster, sql: str) -> list[str]:
    """Run a query in the restored copy, and return its lines."""
    psql = f"{AS_POSTGRES} psql -h {DRILL} -p 5499 -d wedsync -Atc"
    return cluster.on("drill-1", f'{psql} "{sql}"').splitlines()
