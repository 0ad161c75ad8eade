"""From what `health` saw to its report: which problems the cluster has, in sentences."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.agent import etcd, patroni
from infra.agent.facts import Machine

SYNCHRONOUS = ("sync", "quorum")


@dataclass(frozen=True)
class Leader:
    """What the leader's PostgreSQL says; `error` where it gave no answer."""

    replication: tuple[Mapping[str, Any], ...] = ()
    archiver: Mapping[str, Any] = field(default_factory=dict)
    bootstrap: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Seen:
    """Everything `health` looked at, before judging it. A member that gave no answer is None."""

    machine: Machine
    members: Mapping[str, patroni.Member | None]
    leader: Leader
    etcd: Mapping[str, etcd.Member]
    monitor: Mapping[str, Any]
    bootstrap_wanted: str | None
    stanza_ready: bool
    refused: str | None


def leader_of(members: Mapping[str, patroni.Member | None]) -> str | None:
    """Return the machine that holds Patroni's leader lock, or None."""
    return next(
        (member.name for member in members.values() if member is not None and member.leader), None
    )


def describe(seen: Seen) -> dict[str, Any]:
    """Return the report on what was seen, ready for JSON."""
    problems = list(problems_of(seen))
    lag = {row["name"]: row["replay_lag_bytes"] for row in seen.leader.replication}
    return {
        "machine": seen.machine.name,
        "leader": leader_of(seen.members),
        "members": {name: _member(member, lag.get(name)) for name, member in seen.members.items()},
        "replication": [dict(row) for row in seen.leader.replication],
        "etcd": {
            name: {"healthy": member.healthy, "leader": member.leader}
            for name, member in seen.etcd.items()
        },
        "monitor": dict(seen.monitor),
        "archiver": {key: _plain(value) for key, value in seen.leader.archiver.items()},
        "stanza_ready": seen.stanza_ready,
        "bootstrap": {"wanted": seen.bootstrap_wanted, "applied": seen.leader.bootstrap},
        "refused": _refused(seen),
        "healthy": not problems,
        "problems": problems,
    }


def problems_of(seen: Seen) -> Iterator[str]:
    """Yield a sentence for everything that keeps the cluster from being healthy.

    The monitor is none: machines are made and replaced whether it lives or not.
    A member that waits for a restart is no such thing: it shows as `pending_restart`, and the gate
    that machines pass would otherwise keep from the cluster the settings run that restarts it.
    """
    if refused := _refused(seen):
        yield f"No cluster was made: {refused}"
    yield from _replication_problems(seen)
    for name, member in seen.etcd.items():
        if not member.healthy:
            yield f"etcd on {name} is not healthy: see `journalctl -u etcd` there."
    yield from _bootstrap_problems(seen)
    yield from _archive_problems(seen)


def _replication_problems(seen: Seen) -> Iterator[str]:
    leader = leader_of(seen.members)
    if leader is None:
        yield "No machine holds Patroni's leader lock: see `journalctl -u patroni`."
        return
    if seen.leader.error is not None:
        yield f"PostgreSQL on the leader {leader} gives no answer: {seen.leader.error}"
        return
    streaming = {row["name"] for row in seen.leader.replication if row["state"] == "streaming"}
    standbys = [name for name in seen.machine.database_machines if name != leader]
    for name in standbys:
        if name not in streaming:
            yield f"{name} does not stream from {leader}: see `journalctl -u patroni` on {name}."
    if standbys and not any(row["sync_state"] in SYNCHRONOUS for row in seen.leader.replication):
        yield "No standby is synchronous: what is committed now is on one machine only."


def _bootstrap_problems(seen: Seen) -> Iterator[str]:
    if seen.leader.error is not None:
        return
    applied = seen.leader.bootstrap
    if applied is None:
        yield "The bootstrap was never applied: see `journalctl -u guestcomms-bootstrap` there."
        return
    # Only the leader applies its own: while machines are replaced one by one, a standby may well
    # have been given a newer bootstrap than the leader.
    leads = leader_of(seen.members) == seen.machine.name
    if leads and seen.bootstrap_wanted not in (None, applied):
        yield (
            "The bootstrap given to the leader is not applied yet:"
            " see `journalctl -u guestcomms-bootstrap`."
        )


def _archive_problems(seen: Seen) -> Iterator[str]:
    if not seen.stanza_ready:
        yield "The backup stanza is not ready: see `journalctl -u guestcomms-bootstrap`."
    failed, archived = (
        seen.leader.archiver.get(f"last_{what}_at") for what in ("failed", "archived")
    )
    if failed is not None and (archived is None or failed > archived):
        yield f"Archiving of WAL fails since {_plain(failed)}: see the log of PostgreSQL there."


def _refused(seen: Seen) -> str | None:
    """Why no cluster was made; where somebody leads, one was made after all."""
    return seen.refused if leader_of(seen.members) is None else None


def _member(member: patroni.Member | None, lag: int | None) -> dict[str, Any]:
    if member is None:
        return {
            "role": "unknown",
            "state": "unreachable",
            "timeline": None,
            "lag_bytes": None,
            "pending_restart": False,
        }
    return {
        "role": member.role,
        "state": member.state,
        "timeline": member.timeline,
        "lag_bytes": 0 if member.leader else lag,
        "pending_restart": member.pending_restart,
    }


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
