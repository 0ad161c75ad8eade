"""What a benchmark is given, and what it answers with."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.db.server import NUMBERS, Database, Server


@dataclass(frozen=True)
class Comparison:
    """Two ways to do the same work, measured in turns.

    Parameters: `subject` and `reference` are what is compared, each with its samples in `unit`;
    `target` is the wanted ratio of their medians, at least or (`at_most`) at most. `note` says
    what a reader has to know, such as why a target is missed.
    """

    name: str
    unit: str
    subject: str
    reference: str
    subject_samples: list[float]
    reference_samples: list[float]
    target: float
    at_most: bool = False
    note: str = ""

    @property
    def ratio(self) -> float:
        """Median of the subject by median of the reference."""
        return statistics.median(self.subject_samples) / statistics.median(self.reference_samples)

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


def promise(
    name: str,
    unit: str,
    samples: list[float],
    bound: float,
    *,
    at_most: bool = False,
    note: str = "",
) -> Comparison:
    """What was measured against what is promised; a promise of 0 is judged by the samples alone."""
    return Comparison(
        name, unit, "measured", "promised", samples, [bound or 1.0], 1 if bound else 0,
        at_most=at_most, note=note,
    )  # fmt: skip


@dataclass
class Bench:
    """The server of a run, and how long it may take."""

    server: Server
    quick: bool
    """A short run with little data: shows that the benchmark works, not what is true."""
    say: Callable[[str], None]
    databases: list[Database] = field(default_factory=list)

    def database(self) -> Database:
        """A new, migrated database, dropped when the run ends."""
        made = self.server.clone("template_full", f"bench_{next(NUMBERS)}")
        self.databases.append(made)
        return made

    def rounds(self, full: int = 7) -> int:
        """How often each way is measured."""
        return 2 if self.quick else full


def alternate(
    rounds: int, subject: Callable[[], float], reference: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Call two measurements in turns, the order changing each time, after one round unmeasured."""
    subject(), reference()
    samples: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        order = ((0, subject), (1, reference)) if number % 2 else ((1, reference), (0, subject))
        for index, measure in order:
            samples[index].append(measure())
    return samples


def seconds(work: Callable[[], object]) -> float:
    """How long a piece of work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
