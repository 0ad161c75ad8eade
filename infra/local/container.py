"""A machine's container: made, filled, started, and asked how it is."""

import hashlib
import json
import time
from typing import Any, cast

from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import EndpointConfig, LogConfig

from infra.dynamic import PlaceError, Props
from infra.gate import AGENT, Answer
from infra.local.delivery import place_files, read_agent, seed
from infra.local.engine import engine, explain, remove_container
from infra.local.names import MACHINE, Owner
from infra.local.ports import LOOPBACK, Port, in_use, refused

DEFINITION = "guestcomms.definition"
"""Label with the hash of what cannot change without a new container."""

DEFINING = (
    "stack", "clone", "machine", "image", "network", "address",
    "user_data", "agent_sha256", "volumes", "ports",
)  # fmt: skip

# systemd mounts cgroups and tmpfs and sets up namespaces for its services; gdb and strace are
# for people who look for a fault. `--privileged` would give the host's devices as well.
CAPABILITIES = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"]

MEMORY_FILE_SYSTEMS = ("/run", "/run/lock", "/tmp")  # noqa: S108 - of the container alone

CPU_PERIOD = 100_000  # microseconds
BOOT_SECONDS = 180
SYSTEMD_FAILED = 255
POLL_SECONDS = 0.5
MIB = 1 << 20


def find(owner: Owner, machine: str) -> Container | None:
    """Return the owner's container of a machine.

    Raises:
        PlaceError: a container of that name is somebody else's.
    """
    name = owner.container(machine)
    try:
        container = engine().containers.get(name)
    except NotFound:
        return None
    if not owner.owns(container.labels):
        raise PlaceError(
            f"container {name} exists and is not of this stack: rename it "
            f"(`docker rename {name} …`) or remove it (`docker rm {name}`)"
        )
    return container


def definition(props: Props) -> str:
    """Return the hash of what makes this container this one."""
    defining = json.dumps([props[key] for key in DEFINING], sort_keys=True)
    return hashlib.sha256(defining.encode()).hexdigest()


def make(props: Props) -> Container:
    """Create the container, fill it and start it; on failure nothing is left of it.

    Raises:
        PlaceError: Docker refuses; for a port in use the message names the port.
    """
    try:
        container = engine().containers.create(**_options(props))
    except ImageNotFound as error:
        raise PlaceError(
            f"image {props['image']} is gone: `.venv/bin/guestcomms up` builds it again"
        ) from error
    except APIError as error:
        raise PlaceError(f"machine {props['machine']}: {explain(error)}") from error
    try:
        container.put_archive("/", seed(props["machine"], container.id or "", props["user_data"]))
        deliver(container, props)
        start(container, props)
    except PlaceError:
        remove_container(container)
        raise
    return container


def deliver(container: Container, props: Props) -> None:
    """Write the place file, the secrets and the agent into the container."""
    agent = read_agent(props["agent"], props["agent_sha256"])
    container.put_archive("/", place_files(props["place"], props["secrets"], agent))


def start(container: Container, props: Props) -> None:
    """Start the container, or go on with one that is paused."""
    container.reload()
    try:
        if container.status == "paused":
            container.unpause()
        else:
            container.start()
    except APIError as error:
        ports = [port_of(item) for item in props["ports"]]
        port = refused(explain(error), ports)
        reason = in_use(port, "Docker says so") if port else explain(error)
        raise PlaceError(f"machine {props['machine']} does not start: {reason}") from error


def resize(container: Container, props: Props) -> None:
    """Set memory and processor limits, also of a running container."""
    try:
        container.update(**_limits(props))
    except APIError as error:
        raise PlaceError(
            f"machine {props['machine']} cannot get {int(props['memory_mib'])} MiB and "
            f"{props['cores']} cores: {explain(error)}"
        ) from error


def run(container: Container, *command: str) -> Answer:
    """Run a command in the container as root.

    Raises:
        PlaceError: the container does not run.
    """
    try:
        code, streams = cast("Any", container.exec_run(list(command), demux=True))
    except APIError as error:
        raise PlaceError(f"container {container.name}: {explain(error)}") from error
    return Answer(code, *((stream or b"").decode(errors="replace") for stream in streams))


def is_running(container: Container) -> bool:
    """Tell whether the container runs and is not paused."""
    container.reload()
    return container.status == "running"


def boot_status(container: Container) -> dict[str, Any]:
    """Return what `cloud-init status` says; empty while the machine cannot answer yet."""
    try:
        answer = run(container, "cloud-init", "status", "--format", "json")
        return dict(json.loads(answer.output))
    except (PlaceError, json.JSONDecodeError):
        return {}


def wait_until_booted(container: Container, machine: str) -> None:
    """Wait until cloud-init has done everything that user-data asks for.

    Raises:
        PlaceError: it failed, or took longer than BOOT_SECONDS.
    """
    deadline = time.monotonic() + BOOT_SECONDS
    status: dict[str, Any] = {}
    while time.monotonic() < deadline:
        status = boot_status(container)
        if status.get("status") == "done":
            return
        if status.get("status") == "error":
            reasons = "; ".join(str(error) for error in status.get("errors", []))
            raise PlaceError(f"machine {machine}: cloud-init failed: {reasons}. {_look(machine)}")
        if not is_running(container):
            raise PlaceError(f"machine {machine} stopped while it booted{_why(container)}")
        time.sleep(POLL_SECONDS)
    raise PlaceError(
        f"machine {machine} did not boot within {BOOT_SECONDS} s "
        f"(cloud-init says {status.get('status', 'nothing')!r}). {_look(machine)}"
    )


def prepare(container: Container, machine: str) -> None:
    """Have the agent put delivered files where the services look for them."""
    answer = run(container, AGENT, "prepare")
    if answer.code != 0:
        reason = (answer.errors or answer.output).strip()
        raise PlaceError(f"machine {machine}: `agent prepare` failed: {reason}. {_look(machine)}")


def port_of(props: Props) -> Port:
    """Return a port from a resource's property."""
    return Port(props["key"], int(props["host"]), int(props["container"]))


def _why(container: Container) -> str:
    """Why systemd ended, for the one reason that it has no words for, and what to do."""
    look = _look(str(container.labels[MACHINE]))
    if container.attrs["State"]["ExitCode"] != SYSTEMD_FAILED:
        return f". {look}"
    return (
        ", as systemd does when the kernel's inotify instances are used up (128 are enough for"
        f" about three clusters): `sudo sysctl fs.inotify.max_user_instances=1024`. {look}"
    )


def _look(machine: str) -> str:
    return (
        f"`.venv/bin/guestcomms logs {machine}` shows more; `.venv/bin/guestcomms up` makes it anew"
    )


def _limits(props: Props) -> dict[str, Any]:
    memory = int(props["memory_mib"]) * MIB
    # Memory and swap limit are the same number: a database machine must not swap.
    return {
        "mem_limit": memory,
        "memswap_limit": memory,
        "cpu_period": CPU_PERIOD,
        "cpu_quota": int(float(props["cores"]) * CPU_PERIOD),
    }


def _options(props: Props) -> dict[str, Any]:
    owner, machine, network = Owner.of(props), props["machine"], props["network"]
    ports = [port_of(item) for item in props["ports"]]
    return {
        "image": props["image"],
        "name": owner.container(machine),
        "hostname": machine,
        "labels": {**owner.labels, MACHINE: machine, DEFINITION: definition(props)},
        "environment": {"container": "docker"},  # systemd's way to know where it runs
        "restart_policy": {"Name": "unless-stopped"},
        "cap_add": CAPABILITIES,
        "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
        "cgroupns": "private",
        "tmpfs": dict.fromkeys(MEMORY_FILE_SYSTEMS, ""),
        "shm_size": int(props["memory_mib"]) * MIB // 2,  # parallel queries share through it
        "log_config": LogConfig(type="json-file", config={"max-size": "10m", "max-file": "2"}),
        "volumes": {name: {"bind": path, "mode": "rw"} for path, name in props["volumes"].items()},
        "ports": {f"{port.container}/tcp": (LOOPBACK, port.host) for port in ports},
        "network": network,
        "networking_config": {
            network: EndpointConfig(engine().api.api_version, ipv4_address=props["address"])
        },
        **_limits(props),
    }
