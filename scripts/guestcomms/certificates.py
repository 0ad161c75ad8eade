"""Until when certificates are good, as the machines themselves say and show it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from guestcomms import hints, node
from guestcomms.errors import GuestcommsError, UnreachableError
from guestcomms.health import AGENT
from guestcomms.stack import Stack

WORKERS = 4


class Certificate(BaseModel):
    """A certificate: its SHA-256 and the end of its validity in seconds since 1970."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sha256: str
    not_after: int

    @property
    def end(self) -> datetime:
        """The end of its validity."""
        return datetime.fromtimestamp(self.not_after, UTC)


class MachineCertificates(BaseModel):
    """What lies on a machine, and the ports that show another certificate or none."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    machine: str
    certificate: Certificate
    authorities: tuple[Certificate, ...]
    stale: tuple[int, ...]
    silent: tuple[int, ...]

    @property
    def end(self) -> datetime:
        """The earliest end of all."""
        return min(each.end for each in (self.certificate, *self.authorities))

    @property
    def problems(self) -> list[str]:
        """A phrase for every port that does not show the present certificate."""
        return [
            *(f"{self.machine}:{port} shows an old certificate" for port in self.stale),
            *(f"{self.machine}:{port} shows no certificate" for port in self.silent),
        ]


def ask_all(stack: Stack) -> Mapping[str, MachineCertificates | GuestcommsError]:
    """Ask every machine, or keep why it does not say."""

    def ask(machine: str) -> MachineCertificates | GuestcommsError:
        try:
            return _ask(stack, machine)
        except GuestcommsError as error:
            return error

    machines = tuple(stack.outputs.machines)
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        return dict(zip(machines, pool.map(ask, machines), strict=True))


def _ask(stack: Stack, machine: str) -> MachineCertificates:
    todo = f"look at it with {hints.command(f'logs {machine}', stack.name)}"
    answer = node.capture(
        stack,
        machine,
        [AGENT, "certificates"],
        todo=todo,
        check=False,  # it exits 1 when a port shows another certificate, and says which
    )
    try:
        return MachineCertificates.model_validate_json(answer.stdout)
    except ValidationError:
        said = (answer.stderr.strip().splitlines() or [f"exit code {answer.exit_code}"])[-1]
        raise UnreachableError(
            f"{machine} does not tell its certificates ({said}); {todo}."
        ) from None
