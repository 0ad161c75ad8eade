"""Takes away the mark of a machine that vanished while it made the cluster.

Patroni sets the key `initialize` in etcd before it runs `initialize`, and takes it away when that
fails. The key has no lease: a machine that is removed or dies in between leaves it behind, and all
others say "waiting for leader to bootstrap" for ever
(https://patroni.readthedocs.io/en/latest/faq.html knows `patronictl remove` for it, which also
takes away the configuration).
"""

import logging
import time
from collections.abc import Mapping

from infra.agent import etcd, patroni
from infra.agent.facts import Machine

PATRONI_NAMESPACE = "/guestcomms/"  # as infra/spec says, which no machine has
SETTLE = 10.0  # seconds in which nobody may be seen at work: twice Patroni's loop
IDLE = "stopped"  # what a Patroni without data says while it waits; at work it says what it does

log = logging.getLogger(__name__)


class AbandonedStart:
    """Removes an empty `initialize` key once every machine has said for a while that it waits.

    A machine that gives no answer may be at work behind a broken network: then nothing is removed.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._key = f"{PATRONI_NAMESPACE}{machine.scope}/initialize"
        self._seen: tuple[int, float] | None = None

    def step(self) -> None:
        """Look once; to be called again and again.

        Raises:
            AgentError: etcd refused, or gave no answer; to be tried again.
        """
        entry = self._mark()
        if entry is None:
            self._seen = None
            return
        now = time.monotonic()
        if self._seen is None or self._seen[0] != entry.revision:
            self._seen = (entry.revision, now)
        if now - self._seen[1] >= SETTLE and etcd.delete(self._machine.name, entry):
            log.warning("removed %s: the machine that began to make the cluster is gone", self._key)

    def _mark(self) -> etcd.Entry | None:
        """The key, if it says that a machine makes the cluster and every machine says it does not.

        Asks the machine's own Patroni first: a cluster that lives costs no more than that.
        """
        for names in ((self._machine.name,), self._machine.database_machines):
            if not all_wait(patroni.members(names)):
                return None
        entry = etcd.get(self._machine.name, self._key)
        return None if entry is None or entry.value else entry


def all_wait(members: Mapping[str, patroni.Member | None]) -> bool:
    """Whether every machine answers, has no data, and is making none."""
    return all(
        member is not None and not member.leader and member.state == IDLE
        for member in members.values()
    )
