"""What all causes are made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.ops.cluster.harness import Cluster
from tests.waiting import wait_until

POSTGRES = "runuser -u postgres --"
PATRONICTL = f"{POSTGRES} patronictl -c /etc/patroni/conf.d"
PSQL = f"{POSTGRES} psql -d wedsync -qXAtc"


@dataclass(frozen=True)
class Cause:
    """Something that goes wrong while its context is entered, and the alerts it has to raise.

    `ends_first`: entering it ends what may be wrong already, such as an age, before it begins anew.
    """

    alerts: tuple[str, ...]
    words: str
    happens: Callable[[Cluster], AbstractContextManager[None]]
    ends_first: bool = False


def others(cluster: Cluster) -> list[str]:
    """The database machines that do not lead."""
    leader = cluster.leader
    return [name for name in cluster.database_machines if name != leader]


def standby(cluster: Cluster) -> str:
    """A database machine that does not lead."""
    return others(cluster)[0]


def superuser(cluster: Cluster, machine: str, sql: str) -> str:
    """What PostgreSQL on a machine answers to its superuser."""
    return cluster.on(machine, f'{PSQL} "{sql}"').strip()


@contextmanager
def stopped(cluster: Cluster, unit: str, *machines: str) -> Iterator[None]:
    """A unit does not run on some machines."""
    for machine in machines:
        cluster.on(machine, f"systemctl stop {unit}")
    try:
        yield
    finally:
        for machine in machines:
            cluster.on(
                machine, f"systemctl reset-failed {unit} 2>/dev/null; systemctl start {unit}"
            )


def write_wal(mebibytes: int) -> str:
    """A command that writes so much WAL and leaves nothing behind."""
    message = "pg_logical_emit_message(false, 'alerts', repeat(md5(n::text), 32768))"
    return f'{PSQL} "SELECT count({message}) FROM generate_series(1, {mebibytes}) AS n"'


def rebuild(cluster: Cluster, machine: str) -> None:
    """Copy a standby anew from the leader, as its runbook says, until it streams."""
    cluster.on(machine, f"{PATRONICTL} reinit wedsync {machine} --force --wait")
    wait_until(
        lambda: cluster.health()["members"][machine]["state"] == "streaming",
        120,
        lambda: cluster.health()["members"],
        poll_seconds=2,
    )


def job(cluster: Cluster, name: str) -> None:
    """Run a scheduled job of the database now."""
    command = superuser(
        cluster, cluster.leader, f"SELECT command FROM cron.job WHERE jobname = '{name}'"
    )
    superuser(cluster, cluster.leader, command)


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition that a command on a machine tells."""
    wait_until(condition, seconds, poll_seconds=2)


def pause(seconds: float) -> None:
    """Let something last: what an alert is about may be its duration."""
    time.sleep(seconds)
