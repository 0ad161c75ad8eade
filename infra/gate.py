"""The health gate: one database machine changes at a time, and only in a healthy cluster.

How a command reaches a machine is the place's business (`Channel`); what is asked, and what counts
as healthy, is the same everywhere.

A machine that has once been part of a healthy cluster carries a mark. Only marked machines are
guarded against deletion, so that a cluster that never became healthy can be removed; the marks go
when the whole cluster is dismantled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from infra.dynamic import PlaceError, progress

AGENT = "/opt/guestcomms/agent.pyz"
PLACE_FILE = "/etc/guestcomms/place.json"
MARK = "/etc/guestcomms/in-service"
HEALTH_SECONDS = 900
POLL_SECONDS = 2.0
CONFIRM_SECONDS = 60
"""Patroni counts a standby as synchronous only some rounds after it streams again."""
REPLICATING = ("running", "streaming")
"""What Patroni calls a member whose PostgreSQL runs, and one that follows the leader."""
SYNCHRONOUS = ("sync", "quorum")
"""pg_stat_replication.sync_state of a standby whose confirmation commits may wait for."""

Health = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a command on a machine returned."""

    code: int
    output: str
    errors: str


class Channel(Protocol):
    """The way to a machine that runs."""

    def run(self, *command: str) -> Answer:
        """Run a command as root.

        Raises:
            PlaceError: the machine cannot be reached.
        """


def after_change(
    machine: str, peers: Sequence[str], running: Mapping[str, Channel], seconds: int
) -> None:
    """Wait for the cluster's health after a database machine was made or changed.

    With every machine there, the whole cluster must be healthy. While some are missing or stopped
    their own turn is still to come: in a cluster that is in service those that are there must be
    healthy meanwhile, in one that is being made for the first time there is nothing to wait for.

    Parameters: `peers` are the other database machines, `running` those that run, by name.

    Raises:
        PlaceError: the cluster refuses to start, or is not healthy in time.
    """
    if len(running) == 1 + len(peers):
        problems = all_problems
    elif any(_in_service(running[name]) for name in peers if name in running):
        problems = partial(missing_health, machines=tuple(running))
    else:
        return
    wait_for(machine, running[machine], problems, seconds)
    mark(running.values())


def before_change(leaving: Mapping[str, Channel]) -> None:
    """See that the lead stays with the machines that there shall be.

    Those that leave go last. Meanwhile nobody would find the leader if it were among them, because
    the others are told of each other alone.

    Parameters: `leaving` are the running database machines that there shall not be any more.

    Raises:
        PlaceError: one of them could not hand over the lead.
    """
    for machine, channel in leaving.items():
        if _in_service(channel):
            _hand_over(machine, channel)


def before_delete(machine: str, peers: Sequence[str], running: Mapping[str, Channel]) -> None:
    """Make sure that the cluster can do without this database machine; hand over if it leads.

    Waits until commits can be confirmed by another standby: else every commit would wait until
    Patroni has noticed that this one is gone. One that the others are not told of any more leaves
    for good: etcd's member goes before it.

    Raises:
        PlaceError: another member is not healthy or confirms nothing, so this one has to stay.
    """
    others = {name: each for name, each in running.items() if name != machine}
    channel = running.get(machine)
    if not others or not any(_in_service(each) for each in running.values()):
        return
    told = [known for each in others.values() if (known := machines_known_to(each))]
    staying = next((known for known in told if machine not in known), None)
    if staying is not None:
        if channel is not None:
            _hand_over(machine, channel)
        _forget(machine, staying, others)
        return
    if channel is None or not _in_service(channel):
        return
    health = first_answer(running.values())
    problems = [health] if isinstance(health, str) else missing_health(health, peers)
    if isinstance(health, str) or problems:
        raise PlaceError(
            f"{machine} stays as it is, because the rest of the cluster is not healthy: "
            f"{'; '.join(problems)}. Repair that first (`.venv/bin/guestcomms status`), then run "
            f"`.venv/bin/guestcomms up` again{_mend(machine, peers, running)}"
        )
    if health.get("leader") == machine:
        progress(f"{machine} leads the cluster: handing over")
        _hand_over(machine, channel)
    if confirming(health):
        without = partial(missing_confirmation, machine=machine)
        wait_for(f"the cluster without {machine}", channel, without, CONFIRM_SECONDS)


def _hand_over(machine: str, channel: Channel) -> None:
    """Let another machine lead, if this one does."""
    answer = channel.run(AGENT, "handover")
    if answer.code != 0:
        raise PlaceError(f"{machine} could not hand over the lead: {reason(answer)}")


def _forget(machine: str, staying: Sequence[str], others: Mapping[str, Channel]) -> None:
    """Take a machine that leaves out of etcd's members, through one that stays."""
    if missing := sorted(set(staying) - set(others)):
        raise PlaceError(
            f"{machine} cannot leave while {', '.join(missing)} does not run: too few would be "
            "left. Bring it back first (`.venv/bin/guestcomms status`), then run "
            "`.venv/bin/guestcomms up` again"
        )
    answer = others[staying[0]].run(AGENT, "forget", machine)
    if answer.code != 0:
        raise PlaceError(f"{machine} cannot leave: {reason(answer)}")
    progress(f"{machine} leaves: etcd has forgotten it")


def machines_known_to(channel: Channel) -> list[str]:
    """Return the database machines that a machine was told of; none if it cannot say."""
    answer = channel.run("cat", PLACE_FILE)
    try:
        return [name for name in json.loads(answer.output)["machines"] if name.startswith("pg-")]
    except (json.JSONDecodeError, KeyError):
        return []


def _mend(machine: str, peers: Sequence[str], running: Iterable[str]) -> str:
    """How to bring back members that do not run: the engine itself would only come to them later.

    The roll follows the chain of machines, so the next one is changed before a missing one later
    in the chain is made; aiming at the missing one turns that round.
    """
    missing = sorted({machine, *peers} - set(running))
    targets = " ".join(f"--target '**Machine::{name}'" for name in missing)
    return (
        f"; what is gone comes back first with `.venv/bin/guestcomms pulumi -- up {targets}`"
        if missing
        else ""
    )


def wait_until_whole(machines: Sequence[str], running: Mapping[str, Channel], seconds: int) -> None:
    """Wait until all database machines are healthy together, and mark them.

    Raises:
        PlaceError: one does not run, or they are not healthy in time.
    """
    if stopped := sorted(set(machines) - set(running)):
        raise PlaceError(f"{', '.join(stopped)} does not run: `.venv/bin/guestcomms up` starts it")
    wait_for("the cluster", running[machines[0]], all_problems, seconds)
    mark(running.values())


def unmark(running: Mapping[str, Channel]) -> None:
    """Take the marks away: the cluster is dismantled as a whole."""
    for channel in running.values():
        channel.run("rm", "-f", MARK)


def missing_health(health: Health, machines: Sequence[str]) -> list[str]:
    """Return what is wrong with some members, by what `agent health` reports."""
    problems = []
    for machine in machines:
        state = health.get("members", {}).get(machine, {}).get("state")
        if state not in REPLICATING:
            problems.append(f"PostgreSQL on {machine} is {state or 'not in the cluster'}")
        if not health.get("etcd", {}).get(machine, {}).get("healthy"):
            problems.append(f"etcd on {machine} is not healthy")
    return problems


def confirming(health: Health) -> list[str]:
    """Return the standbys that commits may wait for; none where replication is asynchronous."""
    rows = health.get("replication", [])
    return [row["name"] for row in rows if row["sync_state"] in SYNCHRONOUS]


def missing_confirmation(health: Health, machine: str) -> list[str]:
    """Return what is wrong if, but for `machine`, nobody would confirm commits."""
    if set(confirming(health)) - {machine}:
        return []
    return ["no other standby is synchronous yet"]


def all_problems(health: Health) -> list[str]:
    """Return what is wrong with the whole cluster, by what `agent health` reports."""
    return [] if health.get("healthy") else list(health["problems"])


def first_answer(channels: Iterable[Channel]) -> Health | str:
    """Return the first report that a machine's agent gives, or why none does."""
    answer: Health | str = "no database machine runs"
    for channel in channels:
        answer = _ask(channel)
        if isinstance(answer, dict):
            break
    return answer


def ask_agent(running: Mapping[str, Channel], *verb: str) -> dict[str, Any]:
    """Run an agent's verb on the leader, or where nobody leads on any machine that runs.

    Raises:
        PlaceError: nobody can be asked, or the agent refuses.
    """
    health = first_answer(running.values())
    if isinstance(health, str):
        raise PlaceError(
            f"the settings need a running cluster: {health}. See `.venv/bin/guestcomms status`"
        )
    channel = running.get(health.get("leader") or "") or next(iter(running.values()))
    answer = channel.run(AGENT, *verb)
    if answer.code != 0:
        raise PlaceError(f"the settings are not applied: {reason(answer)}")
    return dict(json.loads(answer.output))


def wait_for(
    what: str, through: Channel, problems_of: Callable[[Health], list[str]], seconds: int
) -> None:
    """Wait until `problems_of` finds none in what a machine's agent reports.

    Raises:
        PlaceError: the cluster refuses to start, or problems remain after `seconds`.
    """
    deadline = time.monotonic() + seconds
    told = ""
    while True:
        health = _ask(through)
        if isinstance(health, dict) and (refusal := health.get("refused")):
            raise PlaceError(str(refusal))
        reasons = [health] if isinstance(health, str) else problems_of(health)
        if not reasons:
            return
        problems = "; ".join(reason.rstrip(".") for reason in reasons)
        if time.monotonic() > deadline:
            raise PlaceError(
                f"{what} is not healthy after {seconds} s: {problems}. "
                "`.venv/bin/guestcomms status` shows more; once it is repaired, "
                "`.venv/bin/guestcomms up` goes on from here"
            )
        if problems != told:
            progress(f"{what}: waiting for health: {problems}")
            told = problems
        time.sleep(POLL_SECONDS)


def mark(channels: Iterable[Channel]) -> None:
    """Note on machines that they have been in service."""
    for channel in channels:
        channel.run("touch", MARK)


def reason(answer: Answer) -> str:
    """Return the last thing a failed command said."""
    lines = (answer.errors or answer.output).strip().splitlines()
    return lines[-1] if lines else f"exit code {answer.code}"


def _ask(channel: Channel) -> Health | str:
    """Return what the agent reports, or why it cannot."""
    try:
        answer = channel.run(AGENT, "health")
    except PlaceError as error:
        return str(error)
    try:
        return dict(json.loads(answer.output))
    except json.JSONDecodeError:
        return f"the agent does not answer: {reason(answer)}"


def _in_service(channel: Channel) -> bool:
    return channel.run("test", "-e", MARK).code == 0
