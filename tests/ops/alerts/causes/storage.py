"""Causes of the alerts of rules/storage.yml."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.ops.alerts.causes.common import POSTGRES, Cause, superuser
from tests.ops.cluster.harness import Cluster

DISK = "/srv/small"
DISK_MIB = 100


@contextmanager
def disk_fills_up(cluster: Cluster) -> Iterator[None]:
    """A small file system fills steadily to 85 %, stays so, and is full in the end.

    An overlay on memory: the rules leave file systems of type tmpfs alone.
    """
    memory, done = "/run/small", threading.Event()
    cluster.on(
        "drill-1",
        f"mkdir -p {memory} {DISK} && mount -t tmpfs -o size={DISK_MIB}m tmpfs {memory}"
        f" && mkdir {memory}/lower {memory}/upper {memory}/work && mount -t overlay overlay -o"
        f" lowerdir={memory}/lower,upperdir={memory}/upper,workdir={memory}/work {DISK}",
    )

    def fill() -> None:
        written = 0
        for level, step, patience in ((55, 55, 15), (85, 1, 2), (85, 0, 60), (97, 12, 5)):
            while written < level or step == 0:
                cluster.on("drill-1", f"head -c {step}M /dev/urandom > {DISK}/{level}.{written}")
                written += step
                if done.wait(patience) or step == 0:
                    break

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        cluster.on("drill-1", f"umount {DISK} {memory}; rmdir {DISK} {memory}")


@contextmanager
def _transaction_ids_are_used_up(cluster: Cluster, count: int) -> Iterator[None]:
    leader = cluster.leader
    cluster.on(
        leader,
        f"{POSTGRES} psql -d wedsync -qAt -c 'SET synchronous_commit = off' -c 'DO $$ BEGIN"
        f" FOR n IN 1..{count} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$'",
    )
    try:
        yield
    finally:
        # template0 takes no connections; only while it does can vacuum reach it.
        allow = "ALTER DATABASE template0 ALLOW_CONNECTIONS"
        superuser(cluster, leader, f"{allow} true")
        cluster.on(leader, f"{POSTGRES} vacuumdb --all --freeze --quiet")
        superuser(cluster, leader, f"{allow} false")


@contextmanager
def transaction_stays_open(cluster: Cluster) -> Iterator[None]:
    with psycopg.connect(cluster.dsn("--role", "ops", "--direct")) as connection:
        connection.execute("SELECT 1")
        yield


CAUSES = (
    Cause(("OldestTransaction",), "a transaction stays open", transaction_stays_open),
    Cause(("DiskForecast", "DiskUsageHigh", "DiskFull"), "a disk fills up", disk_fills_up),
    Cause(("TransactionIdAge",), "60,000 transaction ids are used up",
          lambda cluster: _transaction_ids_are_used_up(cluster, 60_000)),
    Cause(("TransactionIdsRunOut",), "150,000 transaction ids are used up",
          lambda cluster: _transaction_ids_are_used_up(cluster, 150_000)),
)  # fmt: skip
