"""L1, each setting for itself: calls a second of 2000 clients, one thing otherwise than shipped.

All on one cluster, in turns: as shipped, with each change, as shipped, with each in the other
order. What a change gained less than the noise of such runs is kept as it was.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple
from unittest import mock

from guestcomms.load import data, plan, runner
from guestcomms.load.target import Target
from guestcomms.stack import Stack

from loadtest.bench.cluster import cluster_of_its_own
from loadtest.bench.model import Bench, Comparison
from tests.ops.alerts.causes.common import superuser
from tests.ops.cluster.harness import Cluster
from tests.waiting import wait_until

SCENARIO = "sustained-clients"
CLIENTS, SECONDS = 2000, 50
QUICK = 50, 15
ROUNDS = 2
POOLER_PORT = 6432
PATRONI = "runuser -u postgres -- patronictl -c /etc/patroni/conf.d edit-config --force"
POOL = "UPDATE public.communication_pool_config SET max_connections = {}"


@dataclass
class Stand:
    """A cluster, ways into it, and tenants to call for."""

    cluster: Cluster
    target: Target
    tenants: data.Data
    clients: int
    seconds: float
    """Of each run, ramp and warm-up included."""
    cores: str = ""
    """Of the way in, by the last run."""

    def past_haproxy(self) -> Target:
        """Straight to the leader's PgBouncer."""
        shipped = Stack.load(self.cluster.stack)
        front, leader = shipped.endpoint("read_write"), shipped.machine(self.cluster.leader)
        app, worker = (
            dsn.replace(f"@{front}/", f"@{leader.address}:{POOLER_PORT}/")
            for dsn in (self.target.app, self.target.worker)
        )
        return dataclasses.replace(self.target, app=app, worker=worker)

    @contextmanager
    def patroni(self, option: str, shipped: str, changed: str, shown: str) -> Iterator[None]:
        """Patroni's configuration changed, seen in a setting of the leader that becomes another."""
        self.set(option, changed, shown)
        try:
            yield
        finally:
            self.set(option, shipped, shown)
            self.cluster.wait_healthy()

    def set(self, option: str, value: str, shown: str) -> None:
        before = self.shown(shown)
        self.cluster.on("pg-1", f"{PATRONI} {option}={value}")
        wait_until(lambda: self.shown(shown) != before, 60, poll_seconds=0.5)

    def shown(self, setting: str) -> str:
        return superuser(self.cluster, self.cluster.leader, f"SHOW {setting}")

    @contextmanager
    def pool(self, size: int) -> Iterator[None]:
        """So many connections of PgBouncer for each login."""
        (before,) = {size for (size,) in self.cluster.query(POOLS, "--role", "ops")}
        self.resize(size)
        try:
            yield
        finally:
            self.resize(int(before))

    def resize(self, size: int) -> None:
        self.cluster.query(POOL.format(size), "--role", "ops")
        there = f"grep -c 'pool_size={size} ' /etc/pgbouncer/pools.ini || true"
        wait_until(lambda: self.cluster.on(self.cluster.leader, there).strip() == "1", 60)

    def calls(self, mode: str = "exec", *, past_haproxy: bool = False) -> float:
        """Calls a second of one run."""
        catalogue = plan.catalogue()
        wanted = plan.scaled(
            catalogue.scenario(SCENARIO), clients=self.clients, seconds=self.seconds
        )
        target = self.past_haproxy() if past_haproxy else self.target
        asked = runner.Run("l1-settings", wanted, catalogue, exec_mode=mode)
        made = runner.perform(target, asked, self.tenants, lambda _: None)
        if made.interrupted:
            raise KeyboardInterrupt
        (step,) = made.steps
        assert not made.wrong, made.errors
        assert (step.success or 0) >= (wanted.demand.success or 1), made.errors
        cpu = made.server["cpu"]
        self.cores = f"PgBouncer {cpu['pgbouncer']:.2f}, HAProxy {cpu['haproxy']:.2f}"
        operations = step.operations.values()
        return sum(one.per_second for one in operations)


POOLS = "SELECT max_connections FROM public.communication_pool_config"


class Change(NamedTuple):
    """One thing otherwise than shipped; what is shipped gives `bound` of its calls, or more."""

    name: str
    bound: float
    made: Callable[[Stand], AbstractContextManager[None]] = lambda _: nullcontext()
    calls: Callable[[Stand], float] = Stand.calls


CHANGES = [
    Change("statements prepared by name", 0.9, calls=lambda at: at.calls("cache_statement")),
    Change("past HAProxy", 0.85, calls=lambda at: at.calls(past_haproxy=True)),
    Change("pools of 3 connections", 0.95, lambda at: at.pool(3)),
    Change("pools of 10 connections", 0.95, lambda at: at.pool(10)),
    Change("pools of 30 connections", 0.95, lambda at: at.pool(30)),
    Change(
        "no synchronous standby", 0.75,
        lambda at: at.patroni("-s synchronous_mode", "quorum", "off", "synchronous_standby_names"),
    ),
    Change(
        "pages in WAL not compressed", 0.95,
        lambda at: at.patroni("-p wal_compression", "zstd", "off", "wal_compression"),
    ),
]  # fmt: skip


def run(bench: Bench) -> list[Comparison]:
    """Bring up a cluster and measure in turns."""
    shipped: list[float] = []
    changed: dict[str, list[float]] = {one.name: [] for one in CHANGES}
    with (
        cluster_of_its_own(bench) as cluster,
        mock.patch.dict(os.environ, cluster.environment),
    ):
        target = Target.of(Stack.load(cluster.stack))
        tenants = data.prepare(target, plan.catalogue(), bench.say)
        at = Stand(cluster, target, tenants, *(QUICK if bench.quick else (CLIENTS, SECONDS)))
        bench.say("once for caches …")
        at.calls()
        for number in range(1 if bench.quick else ROUNDS):
            shipped.append(at.calls())
            for change in CHANGES if number % 2 == 0 else reversed(CHANGES):
                bench.say(f"{change.name} …")
                with change.made(at):
                    changed[change.name].append(change.calls(at))
        shipped.append(at.calls())
    return [
        Comparison(
            f"L1: as shipped and {one.name}", "calls/s", "as shipped", one.name, shipped,
            changed[one.name], one.bound, note=f"cores as shipped: {at.cores}",
        )
        for one in CHANGES
    ]  # fmt: skip
