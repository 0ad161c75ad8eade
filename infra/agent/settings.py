"""`settings`: make Patroni's dynamic configuration what it shall be, and restart what waits for it.

The wanted configuration is the whole of it: a key that is not wanted any more is removed. What
takes effect only after a restart is restarted through Patroni, the standbys first; a leader that
has to restart hands over to one that has done so, which costs less than its own restart.
Source: https://patroni.readthedocs.io/en/latest/rest_api.html#config-endpoint
"""

import http.client
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from infra.agent import checks, patroni
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.handover import handover
from infra.agent.health import ask_leader
from infra.agent.run import one_line

ANSWER = 10.0  # seconds for an answer that needs etcd
RESTART_PATIENCE = 300.0
LOOP_WAIT = 10  # seconds between two looks of Patroni at its configuration, where none is set
NOTICE_MARGIN = 5.0  # seconds that a look may take
PAUSE = 1.0

Settings = Mapping[str, Any]
log = logging.getLogger(__name__)


def read(machine: Machine) -> Settings:
    """Return the dynamic configuration as etcd holds it.

    Raises:
        AgentError: Patroni gives no answer or no configuration.
    """
    try:
        status, body = patroni.request(machine.name, "GET", "/config", timeout=ANSWER)
        if status != http.client.OK:
            raise AgentError(f"Patroni answered {status} to GET /config: {one_line(body)}")
        return checks.mapping(json.loads(body), "/config")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise AgentError(f"Patroni on {machine.name} gives no configuration: {error}") from error


def apply(machine: Machine, wanted: Settings) -> Mapping[str, Any]:
    """Make the configuration `wanted`, and restart the members that need it, one at a time.

    Returns:
        {"changed": the patch that was sent, "restarted": names in the order of their restart}

    Raises:
        AgentError: Patroni refuses the change, or a member does not come back.
    """
    patch = difference(read(machine), wanted)
    if patch:
        _send(machine, patch)
        if rest := difference(read(machine), wanted):
            raise AgentError(f"Patroni took the change but still differs in {sorted(rest)}")
        log.info("changed %s", json.dumps(patch, sort_keys=True))
        _await_notice(machine)
    return {"changed": patch, "restarted": _restart_pending(machine)}


def difference(present: Settings, wanted: Settings) -> dict[str, Any]:
    """Return the merge patch (RFC 7396) that turns `present` into `wanted`."""
    patch: dict[str, Any] = {key: None for key in present if key not in wanted}
    for key, value in wanted.items():
        old = present.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if inner := difference(old, value):
                patch[key] = inner
        elif old != value:
            patch[key] = value
    return patch


def notice_patience(live: Settings) -> float:
    """Return the seconds after which every member has noticed a change, by the `live` settings.

    Raises:
        AgentError: loop_wait is no number of seconds.
    """
    return checks.number(live.get("loop_wait", LOOP_WAIT), "loop_wait", 1, 3600) + NOTICE_MARGIN


def _send(machine: Machine, patch: Settings) -> None:
    try:
        status, said = patroni.request(
            machine.name, "PATCH", "/config", cast(dict[str, Any], patch), timeout=ANSWER
        )
    except (OSError, http.client.HTTPException) as error:
        raise AgentError(f"Patroni on {machine.name} gives no answer: {error}") from error
    if status != http.client.OK:
        raise AgentError(f"Patroni refused the settings with {status}: {one_line(said)}")


def _await_notice(machine: Machine) -> None:
    """Wait until every member knows of the change: each looks once in loop_wait.

    All members have the same settings. So when all wait for a restart nobody is left to notice it;
    when the time is over, those wait for one that need it.
    """
    everybody = len(machine.database_machines)
    _wait(lambda: len(_pending(machine)) == everybody, notice_patience(read(machine)))


def _restart_pending(machine: Machine) -> list[str]:
    """Restart, standbys first, whoever waits for it; the leader after it handed over."""
    restarted: list[str] = []
    while waiting := _pending(machine):
        standbys = sorted(name for name, leads in waiting.items() if not leads)
        if standbys:
            _restart(machine, standbys[0])
            restarted.append(standbys[0])
        elif machine.name in waiting:
            handover(machine, to_any=True)  # then it is a standby, and the loop restarts it
        else:
            # Only the leader itself can hand over; its own restart is the next best.
            (leader,) = waiting
            _restart(machine, leader)
            restarted.append(leader)
    return restarted


def _pending(machine: Machine) -> dict[str, bool]:
    """The members that wait for a restart, and whether each leads."""
    members = patroni.members(machine.database_machines)
    return {
        name: member.leader
        for name, member in members.items()
        if member is not None and member.pending_restart
    }


def _restart(machine: Machine, name: str) -> None:
    log.info("restarting PostgreSQL on %s", name)
    try:
        status, said = patroni.request(
            name, "POST", "/restart", {"restart_pending": True}, timeout=RESTART_PATIENCE
        )
    except (OSError, http.client.HTTPException) as error:
        raise AgentError(f"{name} gave no answer to its restart: {error}") from error
    if status != http.client.OK:
        raise AgentError(f"{name} did not restart: Patroni answered {status}: {one_line(said)}")
    if not _wait(lambda: _is_back(machine, name), RESTART_PATIENCE):
        raise AgentError(f"{name} restarted but does not replicate; see `journalctl -u patroni`")


def _is_back(machine: Machine, name: str) -> bool:
    members = patroni.members(machine.database_machines)
    member = members.get(name)
    if member is None or member.pending_restart:
        return False
    leader = next((each for each in members.values() if each is not None and each.leader), None)
    if leader is None:
        return False
    rows = ask_leader(machine, leader.name).replication
    streaming = {row["name"] for row in rows if row["state"] == "streaming"}
    return len(streaming) == len(machine.database_machines) - 1


def _wait(condition: Callable[[], bool], patience: float) -> bool:
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up:
        if condition():
            return True
        time.sleep(PAUSE)
    return False
