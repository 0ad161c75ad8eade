"""Machines: systemd containers that boot the same user-data as a virtual machine in the cloud."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.errors import NotFound
from docker.models.containers import Container
from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    UpdateResult,
)

from infra.dynamic import Props, Provider, changed, progress, replacement
from infra.gate import HEALTH_SECONDS
from infra.local import container as containers
from infra.local import gate
from infra.local.engine import engine, refuse_other_clone, remove_container
from infra.local.names import Owner
from infra.local.ports import Port, taken

SIZE = ("memory_mib", "cores")
FILES = ("place", "secrets")


class MachineProvider(Provider):
    """Makes machines; database machines are made, changed and deleted behind a health gate."""

    def check(self, olds: Props, news: Props) -> CheckResult:
        """Find out already in the preview that a port is in use."""
        failures = []
        for props in news["ports"]:
            port = containers.port_of(props)
            if props not in olds.get("ports", []) and (reason := taken(port, Owner.of(news))):
                failures.append(CheckFailure("ports", reason))
        return CheckResult(news, failures)

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        refuse_other_clone(olds, news)
        result = replacement(olds, news, containers.DEFINING)
        result.changes = (
            result.changes or bool(changed(olds, news, SIZE + FILES)) or not olds["running"]
        )
        result.delete_before_replace = True  # name, address and volumes allow only one
        return result

    def create(self, props: Props) -> CreateResult:
        container = _adopted(props) or containers.make(props)
        containers.wait_until_booted(container, props["machine"])
        gate.after_change(props)
        return CreateResult(str(container.id), {**props, "running": True})

    def read(self, id_: str, props: Props) -> ReadResult:
        container = _get(id_)
        if container is None:
            return ReadResult("", {})
        limits = container.attrs["HostConfig"]
        found = {
            "running": container.status == "running",
            "memory_mib": limits["Memory"] // containers.MIB,
            "cores": limits["CpuQuota"] / containers.CPU_PERIOD,
        }
        return ReadResult(id_, {**props, **found})

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        container = engine().containers.get(id_)
        gate.before_change(news)
        if changed(olds, news, SIZE):
            containers.resize(container, news)
        was_running = containers.is_running(container)
        if changed(olds, news, FILES):
            containers.deliver(container, news)
        if not was_running:
            containers.start(container, news)
            containers.wait_until_booted(container, news["machine"])
        elif changed(olds, news, FILES):
            containers.prepare(container, news["machine"])
        gate.after_change(news)
        return UpdateResult({**news, "running": True})

    def delete(self, id_: str, props: Props) -> None:
        container = _get(id_)
        if container is not None:
            gate.before_delete(props)
            remove_container(container)


@dataclass(frozen=True, kw_only=True)
class MachineArgs:
    """A machine as the place `local` needs it."""

    image: Input[str]
    network: Input[str]
    address: Input[str]
    user_data: str
    place: Mapping[str, Any]
    """The facts of /etc/guestcomms/place.json; values may be outputs."""
    secrets: Mapping[str, Input[str]]
    """Files of /etc/guestcomms/secrets: name → content."""
    agent: Path
    agent_sha256: str
    memory_mib: int
    cores: float
    volumes: Mapping[str, Input[str]] = field(default_factory=dict)
    """Path in the machine → name of the volume."""
    ports: Sequence[Port] = ()
    peers: Sequence[str] = ()
    """For a database machine the names of the others: its changes pass the health gate."""
    health_timeout_seconds: int = HEALTH_SECONDS

    @property
    def props(self) -> Props:
        """The arguments as properties of the resource."""
        return {
            "image": self.image,
            "network": self.network,
            "address": self.address,
            "user_data": self.user_data,
            "place": Output.json_dumps(self.place, sort_keys=True),
            "secrets": Output.secret(dict(self.secrets)),
            "agent": str(self.agent),
            "agent_sha256": self.agent_sha256,
            "memory_mib": self.memory_mib,
            "cores": self.cores,
            "volumes": dict(self.volumes),
            "ports": [port.props for port in self.ports],
            "peers": list(self.peers),
            "health_timeout_seconds": self.health_timeout_seconds,
        }


class Machine(Resource, module="local", name="Machine"):
    """A systemd container that booted its user-data; `name` is also its host name.

    Other user-data, image, address, ports, volumes or agent make it anew (its volumes stay);
    memory, cores, place facts and secrets change in place. `pulumi refresh` finds one that is
    gone or stopped, and the next `pulumi up` brings it back.
    """

    address: Output[str]
    running: Output[bool]

    def __init__(
        self, name: str, owner: Owner, args: MachineArgs, opts: ResourceOptions | None = None
    ) -> None:
        props = {**owner.props, "machine": name, **args.props, "running": None}
        sealed = ResourceOptions(additional_secret_outputs=["secrets"])
        super().__init__(MachineProvider(), name, props, ResourceOptions.merge(opts, sealed))


def _get(id_: str) -> Container | None:
    try:
        return engine().containers.get(id_)
    except NotFound:
        return None


def _adopted(props: Props) -> Container | None:
    """Take over the container of an interrupted run if it is the one wanted, else remove it."""
    machine = props["machine"]
    container = containers.find(Owner.of(props), machine)
    if container is None:
        return None
    same = container.labels.get(containers.DEFINITION) == containers.definition(props)
    if not (same and containers.boot_status(container).get("status") == "done"):
        progress(f"{machine}: removing the container of an interrupted run")
        remove_container(container)
        return None
    progress(f"{machine}: taking over the container of an interrupted run")
    containers.resize(container, props)
    containers.deliver(container, props)
    containers.prepare(container, machine)
    return container
