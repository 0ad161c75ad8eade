"""What load is put on: ways in for each role, and machines that measure themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from guestcomms import db
from guestcomms.stack import Stack


@dataclass(frozen=True)
class Target:
    """A database under load.

    Parameters: connection strings of an application, a worker and operations; `owner` is that of
    the migrator past the pooler, for the tables of the pgbench reference; `machines` are how to
    run a command on each machine that is watched.
    """

    name: str
    place: str
    app: str = field(repr=False)
    worker: str = field(repr=False)
    ops: str = field(repr=False)
    owner: str = field(default="", repr=False)
    machines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, stack: Stack) -> Target:
        """A stack: its front door, its database machines and its proxies."""
        watched = [*stack.machines("database"), *stack.machines("proxy")]
        return cls(
            stack.name,
            stack.outputs.place,
            stack.dsn("app"),
            stack.dsn("worker"),
            stack.dsn("ops"),
            stack.dsn("migrator", direct=True),
            {name: stack.machine(name).exec for name in watched},
        )

    def connect(self, role: str) -> db.Connection:
        """A connection as `app`, `worker`, `ops` or `owner`."""
        return db.connect(getattr(self, role), application_name="guestcomms load", autocommit=True)
