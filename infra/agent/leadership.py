"""Keeps etcd's leadership off the machine that leads PostgreSQL.

When one machine leads both and dies, Patroni's leader lease cannot end before etcd has elected
anew: the hard failover takes several seconds longer than when they lie apart.
"""

import logging
import time
from collections.abc import Mapping

from infra.agent import etcd, patroni
from infra.agent.facts import Machine

SETTLE = 10.0  # seconds that both must lie here before anything is moved
COOLDOWN = 60.0  # seconds between two moves, so that two movers never play ball

log = logging.getLogger(__name__)


class EtcdLeadership:
    """Moves etcd's leadership away, with hysteresis."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._since: float | None = None
        self._moved = float("-inf")

    def step(self) -> None:
        """Move etcd's leadership if this machine has led both for a while.

        Raises:
            AgentError: etcd refused, or gave no answer; to be tried again.
        """
        name, now = self._machine.name, time.monotonic()
        if not (patroni.leads(name) and etcd.leads(name)):
            self._since = None
            return
        self._since = now if self._since is None else self._since
        if now - self._since < SETTLE or now - self._moved < COOLDOWN:
            return
        chosen = successor(name, etcd.members(self._machine.database_machines))
        if chosen is not None:
            self._moved = now
            etcd.move_leader(name, chosen)
            log.info("etcd is led by %s now, PostgreSQL by %s", chosen.name, name)


def successor(leader: str, members: Mapping[str, etcd.Member]) -> etcd.Member | None:
    """Return a healthy member other than `leader`, or None."""
    return next((m for name, m in sorted(members.items()) if name != leader and m.healthy), None)
