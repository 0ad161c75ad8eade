"""The health gate: one database machine changes at a time, and only in a healthy cluster.

A machine that has once been part of a healthy cluster carries a mark. Only marked machines
are guarded against deletion, so that a cluster that never became healthy can be removed; the
resource `Cluster` takes the marks away when the whole cluster is dismantled.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from docker.models.containers import Container
from pulumi import ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from infra.dynamic import Props, Provider, changed
from infra.local.container import Answer, find, is_running, run
from infra.local.engine import PlaceError, progress
from infra.local.names import Owner

AGENT = "/opt/guestcomms/agent.pyz"
MARK = "/etc/guestcomms/in-service"
HEALTH_SECONDS = 900
POLL_SECONDS = 2.0
REPLICATING = ("running", "streaming")
"""What Patroni calls a member whose PostgreSQL runs, and one that follows the leader."""

Health = dict[str, Any]


def after_change(props: Props) -> None:
    """Wait for the cluster's health after a database machine was made or changed.

    With every machine there, the whole cluster must be healthy. While some are missing or stopped
    their own turn is still to come: in a cluster that is in service those that are there must be
    healthy meanwhile, in one that is being made for the first time there is nothing to wait for.

    Raises:
        PlaceError: the cluster refuses to start, or is not healthy in time.
    """
    machine, peers = props["machine"], props["peers"]
    if not peers:
        return
    running = running_machines(Owner.of(props), [machine, *peers])
    if len(running) == 1 + len(peers):
        problems = _all_problems
    elif any(_in_service(running[name]) for name in peers if name in running):
        problems = partial(missing_health, machines=tuple(running))
    else:
        return
    _wait_for(machine, running[machine], problems, int(props["health_timeout_seconds"]))
    _mark(running.values())


def before_delete(props: Props) -> None:
    """Make sure that the cluster can do without this database machine; hand over if it leads.

    Raises:
        PlaceError: another member is not healthy, so this one has to stay.
    """
    machine, peers = props["machine"], props["peers"]
    running = running_machines(Owner.of(props), [machine, *peers])
    container = running.get(machine)
    if container is None or len(running) == 1 or not _in_service(container):
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
        answer = run(container, AGENT, "handover")
        if answer.code != 0:
            raise PlaceError(f"{machine} could not hand over the lead: {reason(answer)}")


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


class ClusterProvider(Provider):
    """Waits for the whole cluster, and announces its end."""

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return DiffResult(changes=bool(changed(olds, news, ["database_machines"])))

    def create(self, props: Props) -> CreateResult:
        owner, machines = Owner.of(props), props["database_machines"]
        running = running_machines(owner, machines)
        if stopped := sorted(set(machines) - set(running)):
            raise PlaceError(
                f"{', '.join(stopped)} does not run: `.venv/bin/guestcomms up` starts it"
            )
        seconds = int(props["health_timeout_seconds"])
        _wait_for("the cluster", running[machines[0]], _all_problems, seconds)
        _mark(running.values())
        return CreateResult(owner.network, props)

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        return UpdateResult(self.create(news).outs)

    def delete(self, _id: str, props: Props) -> None:
        for container in running_machines(Owner.of(props), props["database_machines"]).values():
            run(container, "rm", "-f", MARK)


class Cluster(Resource, module="local", name="Cluster"):
    """The database machines as one: it exists once they are healthy together.

    Let it depend on all machines. It is then deleted before them, and its deletion is what
    tells a cluster that is dismantled as a whole from a machine that is replaced.
    """

    def __init__(
        self,
        name: str,
        owner: Owner,
        database_machines: Sequence[str],
        opts: ResourceOptions | None = None,
        *,
        health_timeout_seconds: int = HEALTH_SECONDS,
    ) -> None:
        props = {
            **owner.props,
            "database_machines": list(database_machines),
            "health_timeout_seconds": health_timeout_seconds,
        }
        super().__init__(ClusterProvider(), name, props, opts)


def running_machines(owner: Owner, machines: Sequence[str]) -> dict[str, Container]:
    """Return the containers of those machines that run."""
    found = {machine: find(owner, machine) for machine in machines}
    return {name: each for name, each in found.items() if each and is_running(each)}


def _ask(container: Container) -> Health | str:
    """Return what the agent reports, or why it cannot."""
    try:
        answer = run(container, AGENT, "health")
    except PlaceError as error:
        return str(error)
    try:
        return dict(json.loads(answer.output))
    except json.JSONDecodeError:
        return f"the agent does not answer: {reason(answer)}"


def first_answer(containers: Iterable[Container]) -> Health | str:
    """Return the first report that a machine's agent gives, or why none does."""
    answer: Health | str = "no database machine runs"
    for container in containers:
        answer = _ask(container)
        if isinstance(answer, dict):
            break
    return answer


def _in_service(container: Container) -> bool:
    return run(container, "test", "-e", MARK).code == 0


def _all_problems(health: Health) -> list[str]:
    return [] if health.get("healthy") else list(health["problems"])


def _wait_for(
    what: str, through: Container, problems_of: Callable[[Health], list[str]], seconds: int
) -> None:
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


def _mark(containers: Iterable[Container]) -> None:
    for container in containers:
        run(container, "touch", MARK)


def reason(answer: Answer) -> str:
    """Return the last thing a failed command said."""
    lines = (answer.errors or answer.output).strip().splitlines()
    return lines[-1] if lines else f"exit code {answer.code}"
