"""Causes of the alerts of rules/backups.yml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.ops.alerts.causes.common import POSTGRES, PSQL, Cause, pause, stopped, superuser
from tests.ops.cluster.harness import Cluster

DATA = "/var/lib/postgresql/17/wedsync"
TOO_OLD_SECONDS = 150
"""A little more than the age that the campaign's thresholds allow."""


@contextmanager
def archive_is_blocked(cluster: Cluster) -> Iterator[None]:
    leader = cluster.leader
    cluster.on(leader, f"{POSTGRES} pgbackrest --stanza=wedsync stop")
    cluster.on(
        leader, f"{PSQL} \"SELECT pg_logical_emit_message(true, 'alerts', ''), pg_switch_wal()\""
    )
    try:
        yield
    finally:
        cluster.on(leader, f"{POSTGRES} pgbackrest --stanza=wedsync start")


@contextmanager
def store_is_gone(cluster: Cluster) -> Iterator[None]:
    with stopped(cluster, "seaweedfs", "store-1"):
        look_again(cluster)
        yield
    look_again(cluster)


@contextmanager
def no_backup_is_taken(cluster: Cluster) -> Iterator[None]:
    backup(cluster)
    pause(TOO_OLD_SECONDS)
    look_again(cluster)
    yield
    backup(cluster)


@contextmanager
def page_is_damaged(cluster: Cluster) -> Iterator[None]:
    """A page of a table on the leader's disk is overwritten, then backed up."""
    leader = cluster.leader
    superuser(
        cluster, leader, "CREATE TABLE public.damaged AS SELECT n FROM generate_series(1, 5000) n"
    )
    superuser(cluster, leader, "CHECKPOINT")
    file = superuser(cluster, leader, "SELECT pg_relation_filepath('public.damaged')")
    cluster.on(
        leader,
        f"dd if=/dev/urandom of={DATA}/{file} bs=64 count=1 seek=200 conv=notrunc 2>/dev/null",
    )
    backup(cluster, ok=False)
    try:
        yield
    finally:
        superuser(cluster, leader, "DROP TABLE public.damaged")
        backup(cluster)


def backup(cluster: Cluster, *, ok: bool = True) -> None:
    """Take a full backup, and let its figures be looked at."""
    cluster.run("backup", "run", "full", ok=ok)
    look_again(cluster)


def look_again(cluster: Cluster) -> None:
    """Let the pgBackRest exporters look now, not in five minutes."""
    for machine in cluster.database_machines:
        cluster.on(machine, "systemctl restart --no-block prometheus-pgbackrest-exporter")


@contextmanager
def no_restore_is_proven(cluster: Cluster) -> Iterator[None]:
    cluster.run("restore", "drill")
    pause(TOO_OLD_SECONDS)
    yield
    cluster.run("restore", "drill")


CAUSES = (
    Cause(("ArchivingFailing", "ArchivingLate"), "pgBackRest is stopped on the leader",
          archive_is_blocked),
    Cause(("BackupStoreUnreadable",), "the store's S3 server is stopped", store_is_gone),
    Cause(("FullBackupOld", "BackupOld"), "no backup is taken", no_backup_is_taken),
    Cause(("RestoreNotProven",), "no restore drill is done", no_restore_is_proven),
    Cause(("BackupPageErrors",), "a page on the leader's disk is overwritten", page_is_damaged),
)  # fmt: skip
