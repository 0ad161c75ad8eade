"""`handover`: let another machine lead before this one goes away.

A machine that does not lead has nothing to do.
"""

import http.client
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from infra.agent import patroni
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.health import ask_leader
from infra.agent.run import one_line
from infra.agent.verdict import SYNCHRONOUS, leader_of

ASK_PATIENCE = (
    60.0  # seconds: right after a crash Patroni answers 412 until a standby is in sync again
)
FIRST_PATIENCE = 20.0  # two rounds of Patroni's loop, which is what counts a standby as synchronous
SETTLE_PATIENCE = 90.0  # until another machine leads and this one streams from it
SWITCHOVER_TIMEOUT = 45.0
PAUSE = 1.0

log = logging.getLogger(__name__)


def handover(machine: Machine, *, to_any: bool = False) -> Mapping[str, Any]:
    """Make another machine lead, if this one does, and wait until this one follows it.

    Parameters: `to_any`, Patroni chooses; otherwise as suits a roll from the first machine to the
    last.

    Returns:
        {"machine", "led": whether it led, "leader": who leads now or None, "seconds": how long it
        took}

    Raises:
        AgentError: no standby can take over, Patroni keeps refusing, or the new order does not
        settle.
    """
    began = time.monotonic()
    led = patroni.leads(machine.name)
    if led:
        _ask(machine, began, to_any=to_any)
        leader: str | None = _settle(machine, time.monotonic() + SETTLE_PATIENCE)
    else:
        leader = leader_of(patroni.members(machine.database_machines))
    return {
        "machine": machine.name,
        "led": led,
        "leader": leader,
        "seconds": round(time.monotonic() - began, 1),
    }


def best_candidate(replication: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the streaming standby to hand over to: a synchronous one, the first by name."""
    streaming = [row for row in replication if row["state"] == "streaming"]
    streaming.sort(key=lambda row: (row["sync_state"] not in SYNCHRONOUS, row["name"]))
    return str(streaming[0]["name"]) if streaming else None


def is_free(leader: str, replication: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether Patroni may choose who leads after `leader`: it hands over 2 s faster then.

    Under a named candidate the other standbys sleep for 2 s before they follow it (Patroni's
    `process_unhealthy_cluster`), and until one does no commit is confirmed. A roll goes from the
    first machine to the last: from the first there is nobody better, from the last nobody worse.
    """
    names = [str(row["name"]) for row in replication]
    return leader < min(names, default="") or leader > max(names, default=leader)


def late_first(replication: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the first standby by name if another is better now, but it may be soon.

    A roll goes from the first machine to the last and hands over at most twice if each handover
    goes to the first, which is new already. Just after its replacement that one still catches up,
    or Patroni has not counted it as synchronous yet.
    """
    first = min((str(row["name"]) for row in replication), default=None)
    return None if first == best_candidate(replication) else first


def late_any(replication: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the first standby by name that is not synchronous yet.

    Such a one takes no part in the race for the lead, and sleeps for 2 s before it follows.
    """
    late = (str(row["name"]) for row in replication if row["sync_state"] not in SYNCHRONOUS)
    return min(late, default=None)


def _ask(machine: Machine, began: float, *, to_any: bool) -> None:
    """Ask Patroni to switch over until it does, or until somebody else leads anyway."""
    refused = "nothing was asked yet"
    while patroni.leads(machine.name):
        waited = time.monotonic() - began
        if waited > ASK_PATIENCE:
            raise AgentError(
                f"{machine.name} still leads: {refused}. See `agent.pyz health` for what is wrong."
            )
        replication = ask_leader(machine, machine.name).replication
        candidate = best_candidate(replication)
        free = to_any or is_free(machine.name, replication)
        late = late_any(replication) if free else late_first(replication)
        if candidate is None:
            refused = "no standby streams from it"
        elif late is not None and waited < FIRST_PATIENCE:
            refused = f"{late} is not synchronous yet"
        else:
            status, refused = _switchover(machine.name, None if free else candidate)
            if status == http.client.OK:
                log.info("%s", refused)
                return
            log.warning("not yet: %s", refused)
        time.sleep(PAUSE)


def _switchover(leader: str, candidate: str | None) -> tuple[int, str]:
    try:
        status, said = patroni.switchover(leader, candidate, SWITCHOVER_TIMEOUT)
    except (OSError, http.client.HTTPException) as error:
        return 0, f"Patroni gives no answer: {error}"
    return status, one_line(f"Patroni answered {status}: {said}")


def _settle(machine: Machine, give_up: float) -> str:
    """Wait until another machine leads and streams to this one, and return its name."""
    while time.monotonic() < give_up:
        leader = leader_of(patroni.members(machine.database_machines))
        if leader is not None and leader != machine.name:
            rows = ask_leader(machine, leader).replication
            if any(row["name"] == machine.name and row["state"] == "streaming" for row in rows):
                return leader
        time.sleep(PAUSE)
    raise AgentError(
        f"{machine.name} handed over, but after {SETTLE_PATIENCE:g} s it does not stream from a new"
        " leader. See `journalctl -u patroni` here."
    )
