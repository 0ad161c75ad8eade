"""Causes of the alerts of rules/backups.yml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.ops.alerts.causes.common import POSTGRES, PSQL, Cause, pause, stopped, superuser, until
from tests.ops.cluster.harness import Cluster

PGBACKREST = f"{POSTGRES} pgbackrest --log-level-console=off"
SEGMENT = re.compile(r"/[0-9A-F]{24}-[0-9a-f]{40}")
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
def backup_is_refused(cluster: Cluster) -> Iterator[None]:
    leader = cluster.leader
    cluster.on(leader, f"{POSTGRES} pgbackrest --stanza=wedsync stop")
    try:
        backup(cluster, ok=False)
        yield
    finally:
        cluster.on(leader, f"{POSTGRES} pgbackrest --stanza=wedsync start")
        backup(cluster)


@contextmanager
def check_is_given_up(cluster: Cluster) -> Iterator[None]:
    """Three attempts meet no store; the pauses between them are cut short."""
    leader = cluster.leader
    table = "public.communication_backup_checks"
    with stopped(cluster, "seaweedfs", "store-1"):
        asked = "SELECT (public.request_backup_check('wal_audit')).check_id"
        check = superuser(cluster, leader, asked)
        mine = f"{table} SET lease_until = now() WHERE check_id = '{check}'"

        def is_given_up() -> bool:
            superuser(
                cluster, leader, f"UPDATE {mine} AND status = 'running' AND error IS NOT NULL"
            )
            status = f"SELECT status FROM {table} WHERE check_id = '{check}'"
            return superuser(cluster, leader, status) == "failed"

        until(is_given_up, 900)
        yield
    cluster.run("backup", "audit-wal")


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


@contextmanager
def wal_is_missing(cluster: Cluster) -> Iterator[None]:
    _remove_a_segment(cluster)
    cluster.run("backup", "audit-wal", ok=False)
    try:
        yield
    finally:
        _start_anew(cluster)


@contextmanager
def wal_was_missing(cluster: Cluster) -> Iterator[None]:
    _remove_a_segment(cluster)
    backup(cluster)
    cluster.run("backup", "audit-wal", ok=False)
    try:
        yield
    finally:
        _start_anew(cluster)


@contextmanager
def backup_is_damaged(cluster: Cluster) -> Iterator[None]:
    """A file of the newest backup is written over, with the keys that backups are written with.

    With noise of the same length: past the end of a shorter one `pgbackrest verify` asks the store
    for each file of the bundle again and again: it had not ended after five minutes.
    """
    leader = cluster.leader
    newest = cluster.on(leader, f"{PGBACKREST} repo-ls backup/wedsync | grep F$ | tail -1").strip()
    file = f"backup/wedsync/{newest}/bundle/1"
    listed = f"{PGBACKREST} repo-ls --recurse --output=json {file.rpartition('/')[0]}"
    size = 'python3 -c \'import json, sys; print(json.load(sys.stdin)["1"]["size"])\''
    cluster.on(leader, f"head -c $({listed} | {size}) /dev/urandom | {PGBACKREST} repo-put {file}")
    cluster.run("backup", "verify", ok=False)
    try:
        yield
    finally:
        _start_anew(cluster)
        cluster.run("backup", "verify")


@contextmanager
def nobody_checks(cluster: Cluster) -> Iterator[None]:
    cluster.run("backup", "audit-wal")
    yield
    cluster.run("backup", "audit-wal")


@contextmanager
def store_fills_up(cluster: Cluster) -> Iterator[None]:
    leader = cluster.leader
    bytes_128 = " || ".join(["uuid_send(gen_random_uuid())"] * 8)
    random = f"SELECT {bytes_128} AS noise FROM generate_series(1, 2400000)"
    superuser(cluster, leader, f"CREATE TABLE public.filler AS {random}")
    backup(cluster)
    cluster.run("backup", "audit-wal")
    try:
        yield
    finally:
        superuser(cluster, leader, "DROP TABLE public.filler")
        _start_anew(cluster)


def _remove_a_segment(cluster: Cluster) -> None:
    """Delete a segment from the middle of the archive's newest ones."""
    leader = cluster.leader
    write = "SELECT pg_logical_emit_message(true, 'alerts', ''), pg_switch_wal()"
    name = ""
    for _ in range(4):
        name = superuser(cluster, leader, "SELECT pg_walfile_name(pg_current_wal_lsn())")
        superuser(cluster, leader, write)
    find = f"{PGBACKREST} repo-ls --recurse archive/wedsync | grep {name}"
    until(lambda: name in cluster.on(leader, f"{find} || true"), 90)
    listed = cluster.on(leader, f"{PGBACKREST} repo-ls --recurse archive/wedsync | sort")
    paths = [line for line in listed.splitlines() if SEGMENT.search(line)]
    cluster.on(leader, f"{PGBACKREST} repo-rm archive/wedsync/{paths[-3]}")


def _start_anew(cluster: Cluster) -> None:
    """Take a full backup, let go of everything older, and audit again."""
    backup(cluster)
    options = "--stanza=wedsync --repo1-retention-full-type=count --repo1-retention-full=1"
    cluster.on(cluster.leader, f"{PGBACKREST} {options} expire")
    cluster.run("backup", "audit-wal")


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
    Cause(("FullBackupOld", "BackupOld"), "no backup is taken", no_backup_is_taken,
          ends_first=True),
    Cause(("RestoreNotProven",), "no restore drill is done", no_restore_is_proven,
          ends_first=True),
    Cause(("WalGap",), "a segment is deleted from the archive", wal_is_missing),
    Cause(("WalGapInPast",), "a segment is deleted, then a backup taken", wal_was_missing),
    Cause(("BackupDamaged",), "a file of a backup is written over", backup_is_damaged),
    Cause(("BackupCheckOverdue",), "nobody audits the archive for three minutes", nobody_checks,
          ends_first=True),
    Cause(("RepositoryNearlyFull",), "300 MB that cannot be compressed are backed up",
          store_fills_up),
    Cause(("BackupFailed",), "pgBackRest is stopped on the leader, and a backup asked for",
          backup_is_refused),
    Cause(("BackupCheckFailed",), "three attempts at an audit find no store", check_is_given_up),
    Cause(("BackupPageErrors",), "a page on the leader's disk is overwritten", page_is_damaged),
)  # fmt: skip
