"""What a node agent says about the cluster: the answer of its verb `health`, typed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from guestcomms import hints, node
from guestcomms.errors import GuestcommsError, UnreachableError
from guestcomms.stack import Stack

AGENT = "/opt/guestcomms/agent.pyz"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Member(_Part):
    """A database machine as Patroni sees it."""

    role: str
    state: str
    timeline: int | None = None
    lag_bytes: int | None = None
    pending_restart: bool = False


class Standby(_Part):
    """A standby as the leader's pg_stat_replication sees it: the truth about replication."""

    name: str
    state: str
    sync_state: str
    replay_lag_bytes: int | None = None


class EtcdMember(_Part):
    """A member of the consensus store."""

    healthy: bool
    leader: bool = False


class Archiver(_Part):
    """The leader's pg_stat_archiver."""

    last_archived_wal: str | None = None
    last_archived_at: datetime | None = None
    last_failed_wal: str | None = None
    last_failed_at: datetime | None = None
    failed_count: int = 0


class Monitor(_Part):
    """Whether alerts get through, as a database machine sees it."""

    alive: bool
    last_sign_at: datetime | None = None
    problem: str | None = None


class Bootstrap(_Part):
    """Hash of the superuser bootstrap script that the machines want, and of the one applied."""

    wanted: str | None = None
    applied: str | None = None


class ClusterHealth(_Part):
    """The cluster as one machine sees it."""

    machine: str
    leader: str | None
    members: Mapping[str, Member]
    replication: tuple[Standby, ...]
    etcd: Mapping[str, EtcdMember]
    monitor: Monitor
    archiver: Archiver
    stanza_ready: bool
    bootstrap: Bootstrap
    refused: str | None
    healthy: bool
    problems: tuple[str, ...]


class MachineHealth(_Part):
    """A machine that is no database, as it sees itself."""

    machine: str
    healthy: bool
    problems: tuple[str, ...]


Health = TypeVar("Health", ClusterHealth, MachineHealth)


def ask(stack: Stack) -> ClusterHealth:
    """Ask the database machines in turn until one answers.

    Raises `UnreachableError`, which says what each of them said instead.
    """
    silent = []
    for machine in stack.machines("database"):
        try:
            return _ask(stack, machine, ClusterHealth)
        except GuestcommsError as error:
            silent.append(error.message)
    raise UnreachableError(f"No database machine tells its health: {' '.join(silent)}")


def ask_machine(stack: Stack, machine: str) -> MachineHealth:
    """Ask a machine that is no database how it is. Raises `GuestcommsError` if it does not say."""
    return _ask(stack, machine, MachineHealth)


def _ask(stack: Stack, machine: str, kind: type[Health]) -> Health:
    answer = node.capture(
        stack,
        machine,
        [AGENT, "health"],
        todo=f"look at it with {hints.command(f'logs {machine}', stack.name)}",
        timeout_seconds=30,
        check=False,  # it exits 1 when something is unhealthy, and says what
    )
    try:
        return kind.model_validate_json(answer.stdout)
    except ValidationError as error:
        words = (answer.stderr or answer.stdout).strip().splitlines() or ["nothing"]
        raise UnreachableError(
            f"{machine} does not tell its health (it says: {words[-1]});"
            f" look at it with {hints.command(f'shell {machine}', stack.name)}, or repair it with"
            f" {hints.up(stack.name)}."
        ) from error
