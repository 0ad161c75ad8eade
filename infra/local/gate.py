"""The health gate's way to containers, and the resource that is the whole cluster."""

from __future__ import annotations

from collections.abc import Sequence

from docker.models.containers import Container
from pulumi import ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from infra import gate
from infra.dynamic import Props, Provider, changed
from infra.gate import HEALTH_SECONDS, Answer
from infra.local.container import find, is_running, run
from infra.local.engine import engine
from infra.local.names import MACHINE, Owner


class DockerChannel:
    """Commands through `docker exec`."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def run(self, *command: str) -> Answer:
        """Run a command as root."""
        return run(self._container, *command)


def running_machines(owner: Owner, machines: Sequence[str]) -> dict[str, DockerChannel]:
    """Return the ways to those machines whose containers run."""
    found = {machine: find(owner, machine) for machine in machines}
    return {name: DockerChannel(each) for name, each in found.items() if each and is_running(each)}


def after_change(props: Props) -> None:
    """Wait for the cluster's health after a machine was made or changed: `infra.gate`."""
    machine, peers = props["machine"], props["peers"]
    if peers:
        running = running_machines(Owner.of(props), [machine, *peers])
        gate.after_change(machine, peers, running, int(props["health_timeout_seconds"]))


def before_change(props: Props) -> None:
    """See that no machine leads that there shall not be any more: `infra.gate`."""
    if props["peers"]:
        owner, staying = Owner.of(props), {props["machine"], *props["peers"]}
        found = engine().containers.list(filters=owner.filters)
        names = sorted(str(each.labels.get(MACHINE, "")) for each in found)
        leaving = [name for name in names if name.startswith("pg-") and name not in staying]
        gate.before_change(running_machines(owner, leaving))


def before_delete(props: Props) -> None:
    """Make sure that the cluster can do without this machine: `infra.gate`."""
    machine, peers = props["machine"], props["peers"]
    if peers:
        running = running_machines(Owner.of(props), [machine, *peers])
        gate.before_delete(machine, peers, running)


class ClusterProvider(Provider):
    """Waits for the whole cluster, and announces its end."""

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return DiffResult(changes=bool(changed(olds, news, ["database_machines"])))

    def create(self, props: Props) -> CreateResult:
        owner, machines = Owner.of(props), props["database_machines"]
        running = running_machines(owner, machines)
        gate.wait_until_whole(machines, running, int(props["health_timeout_seconds"]))
        return CreateResult(owner.network, props)

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        return UpdateResult(self.create(news).outs)

    def delete(self, _id: str, props: Props) -> None:
        gate.unmark(running_machines(Owner.of(props), props["database_machines"]))


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
