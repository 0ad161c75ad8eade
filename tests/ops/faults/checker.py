"""What a fault did to writes: lost, doubled, accepted by two primaries. Pure functions."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.ops.cluster.writer import Ack, Key


class Sample(NamedTuple):
    """One look at a machine's PostgreSQL, straight on the machine: Unix times of its begin and end.

    `claims`: it says that it is a primary; `accepted`: it confirmed a commit, without the warning
    that no standby has it.
    """

    machine: str
    began: float
    ended: float
    claims: bool
    accepted: bool
    timeline: int


@dataclass(frozen=True)
class Damage:
    """What must be empty after every fault."""

    lost: tuple[Key, ...] = ()
    """Acknowledged, and not there."""
    doubled: tuple[Key, ...] = ()
    """There more than once."""
    late: tuple[Key, ...] = ()
    """Acknowledged on a timeline, though sent after a newer one had acknowledged a write."""
    primaries: tuple[str, ...] = ()
    """Two machines that confirmed commits at the same time."""
    diverged: tuple[str, ...] = ()
    """Standbys that hold other rows than the leader."""

    def __bool__(self) -> bool:
        return any((self.lost, self.doubled, self.late, self.primaries, self.diverged))


def damage(
    acks: Sequence[Ack], rows: Counter[Key], samples: Iterable[Sample], copies: Mapping[str, str]
) -> Damage:
    """Judge a run.

    Parameters: `acks`, what the writers' journal holds; `rows`, how often each row is in the
    database; `samples`, looks at every machine; `copies`, each machine's digest of the same rows.
    """
    return Damage(
        lost=tuple(sorted({ack.key for ack in acks} - set(rows))),
        doubled=tuple(sorted(key for key, times in rows.items() if times > 1)),
        late=tuple(sorted(ack.key for ack in late(acks))),
        primaries=tuple(two_primaries(samples)),
        diverged=tuple(diverged(copies)),
    )


def late(acks: Iterable[Ack]) -> list[Ack]:
    """Writes that an old primary acknowledged after a newer one had begun to."""
    inputs = list(acks)
    first: dict[int, float] = {}
    for ack in inputs:
        first[ack.timeline] = min(ack.at, first.get(ack.timeline, ack.at))
    return [
        ack
        for ack in inputs
        if any(ack.timeline < newer and ack.sent > at for newer, at in first.items())
    ]


class Span(NamedTuple):
    """A time in which a machine was proven to accept writes on one timeline."""

    machine: str
    timeline: int
    begin: float
    end: float


def two_primaries(samples: Iterable[Sample]) -> list[str]:
    """Machines whose proven spans overlap, in words.

    A primary never returns to a timeline that it has left. So between the first commit that a
    machine confirmed on a timeline and the last it was a primary there, looked at or not.
    """
    seen: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        if sample.accepted:
            seen.setdefault((sample.machine, sample.timeline), []).append(sample)
    spans = [
        Span(machine, timeline, *_proven(found)) for (machine, timeline), found in seen.items()
    ]
    return [
        f"{one.machine} (timeline {one.timeline}) and {other.machine} (timeline {other.timeline})"
        f" both accepted writes for {min(one.end, other.end) - max(one.begin, other.begin):.1f} s"
        for one, other in itertools.combinations(spans, 2)
        if one.machine != other.machine and max(one.begin, other.begin) < min(one.end, other.end)
    ]


def _proven(samples: Sequence[Sample]) -> tuple[float, float]:
    """From the end of the first look to the begin of the last; a single one proves itself."""
    first = min(samples, key=lambda sample: sample.began)
    last = max(samples, key=lambda sample: sample.began)
    return (first.began, first.ended) if first is last else (first.ended, last.began)


def stale_claims(samples: Iterable[Sample]) -> float:
    """Seconds in which a machine still called itself primary of a timeline that had a successor.

    Harmless as long as it accepts nothing: what a thawed leader does until it hears the news.
    """
    claims = [sample for sample in samples if sample.claims]
    first: dict[int, float] = {}
    for sample in claims:
        first[sample.timeline] = min(sample.ended, first.get(sample.timeline, sample.ended))
    stale = [
        sample
        for sample in claims
        if any(sample.timeline < newer and sample.began > at for newer, at in first.items())
    ]
    if not stale:
        return 0.0
    return max(sample.ended for sample in stale) - min(sample.began for sample in stale)


def diverged(copies: Mapping[str, str]) -> list[str]:
    """Machines whose digest is not the most common one."""
    if not copies:
        return []
    common = Counter(copies.values()).most_common(1)[0][0]
    return sorted(machine for machine, digest in copies.items() if digest != common)
