"""Published ports: found free before anything is made, and an error that says what to do."""

import re
import socket
from dataclasses import asdict, dataclass

from infra.local.engine import engine
from infra.local.names import Owner

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Port:
    """A port of a container that people reach at 127.0.0.1."""

    key: str
    """Which part of the configuration's `place.ports` sets it."""
    host: int
    container: int

    @property
    def props(self) -> dict[str, str | int]:
        """The port as a property of a resource."""
        return asdict(self)


def taken(port: Port, owner: Owner) -> str | None:
    """Return why a port cannot be published, or None: it is free, or the owner's already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port.host))
        except OSError as error:
            reason = error.strerror
        else:
            return None
    holders = engine().containers.list(filters={"publish": str(port.host)})
    if any(owner.owns(holder.labels) for holder in holders):
        return None
    names = ", ".join(f"container {holder.name}" for holder in holders)
    return in_use(port, names or f"{reason}; `ss -ltnp 'sport = :{port.host}'` shows the program")


def in_use(port: Port, holder: str) -> str:
    """Return the sentence for a port that is in use."""
    return (
        f"{LOOPBACK}:{port.host} ({port.key}) is in use ({holder}): free it, or choose another "
        f"port: `ports.{port.key}` under `guestcomms:place` in the stack's file in infra/stacks"
    )


def refused(message: str, ports: list[Port]) -> Port | None:
    """Return the port that Docker's error message is about, if it is about one."""
    if not re.search(r"already in use|already allocated", message):
        return None
    numbers = {int(number) for number in re.findall(rf"{re.escape(LOOPBACK)}:(\d+)", message)}
    return next((port for port in ports if port.host in numbers), None)
