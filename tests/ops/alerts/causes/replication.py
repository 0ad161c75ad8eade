"""Causes of the alerts of rules/replication.yml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.ops.alerts.causes.common import (
    Cause,
    rebuild,
    standby,
    stopped,
    superuser,
    write_wal,
)
from tests.ops.cluster.harness import Cluster


@contextmanager
def _replay_hangs(cluster: Cluster, mebibytes: int) -> Iterator[None]:
    """The process that replays is stopped; a replay that is only paused Patroni resumes."""
    machine, leader = standby(cluster), cluster.leader
    process = "$(pgrep -f 'startup [r]ecovering')"  # not the shell that looks for it
    cluster.on(machine, f"kill -STOP {process}")
    cluster.on(leader, write_wal(mebibytes))
    try:
        yield
    finally:
        cluster.on(machine, f"kill -CONT {process}")


@contextmanager
def standby_takes_no_wal(cluster: Cluster) -> Iterator[None]:
    leader = cluster.leader
    with stopped(cluster, "patroni", standby(cluster)):
        cluster.on(leader, write_wal(60))
        yield


@contextmanager
def standby_was_away_too_long(cluster: Cluster) -> Iterator[None]:
    leader, machine = cluster.leader, standby(cluster)
    with stopped(cluster, "patroni", machine):
        cluster.on(leader, write_wal(450))
        superuser(cluster, leader, "CHECKPOINT")
        yield
        slot = machine.replace("-", "_")
        superuser(cluster, leader, f"SELECT pg_drop_replication_slot('{slot}')")
    rebuild(cluster, machine)


CAUSES = (
    Cause(("ReplicationLag",), "replay hangs on a standby, 40 MiB written",
          lambda cluster: _replay_hangs(cluster, 40)),
    Cause(("ReplicationLagCritical",), "replay hangs on a standby, 80 MiB written",
          lambda cluster: _replay_hangs(cluster, 80)),
    Cause(("SlotRetainsWal", "StandbyMissing"), "Patroni is stopped on a standby, 60 MiB written",
          standby_takes_no_wal),
    Cause(("SlotLost",), "Patroni is stopped on a standby, 450 MiB written, 256 kept",
          standby_was_away_too_long),
)  # fmt: skip
