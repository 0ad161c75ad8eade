"""Names and labels: which Docker objects belong to this clone's stack and to no other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STACK = "guestcomms.stack"
CLONE = "guestcomms.clone"
MACHINE = "guestcomms.machine"


@dataclass(frozen=True)
class Owner:
    """One stack of one clone of the repository."""

    stack: str
    clone: str

    @classmethod
    def of(cls, props: Mapping[str, Any]) -> "Owner":
        """Return the owner that a resource's properties name."""
        return cls(props["stack"], props["clone"])

    @property
    def props(self) -> dict[str, str]:
        """The owner as properties of a resource."""
        return {"stack": self.stack, "clone": self.clone}

    @property
    def labels(self) -> dict[str, str]:
        """The labels on everything this owner makes."""
        return {STACK: self.stack, CLONE: self.clone}

    @property
    def filters(self) -> dict[str, str | list[str] | bool]:
        """The Docker list filter that finds this owner's objects and no others."""
        return {"label": [f"{key}={value}" for key, value in self.labels.items()]}

    @property
    def network(self) -> str:
        """The network's name."""
        return f"{self.stack}-{self.clone}"

    def container(self, machine: str) -> str:
        """Return the name of a machine's container."""
        return f"{self.network}-{machine}"

    def volume(self, machine: str, volume: str) -> str:
        """Return the name of a machine's volume."""
        return f"{self.container(machine)}-{volume}"

    def owns(self, labels: Mapping[str, str] | None) -> bool:
        """Tell whether an object with these labels is this owner's."""
        return self.labels.items() <= dict(labels or {}).items()
