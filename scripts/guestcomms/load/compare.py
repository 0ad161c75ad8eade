"""Whether one run is worse than another: a test on raw samples, and how much it is.

Calls that follow each other are not independent: a slow second slows down thousands. So a sample
here is the median, or the P95, of a block of two seconds (batch means; A. Law, Simulation Modeling
and Analysis, 9.5.3), and the blocks of two runs are compared by the Mann-Whitney U test (H. B.
Mann, D. R. Whitney, 1947), which asks nothing of their distribution. A difference counts if chance
would make it in fewer than one of a hundred comparisons, all figures together (Bonferroni), and if
the medians differ by more than two equal runs on a busy machine do.

Latency is of calls that were answered. So calls that were not, an operation that is no longer
answered, wrong answers and demands that are no longer met count beside it, as they are.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guestcomms.errors import RefusedError
from guestcomms.load.result import Operation, Result

SIGNIFICANCE = 0.01
LEAST_CHANGE = 0.1
LEAST_BLOCKS = 8
"""With fewer, not even blocks that are all slower than all others are more than chance may make."""
LEAST_LOSS = 0.001
"""Share of calls that counts if it is lost: what the promise of 99.9 % leaves for failures."""
RATE = "calls/s"


@dataclass(frozen=True)
class Change:
    """One figure in two runs.

    Of latency and rate medians of blocks, and the probability `p` that chance made the rest; `p` is
    None where figures are compared as they are.
    """

    name: str
    unit: str
    before: float
    after: float
    p: float | None
    worse: bool
    better: bool

    @property
    def ratio(self) -> float | None:
        """After by before; None where there was nothing before."""
        return self.after / self.before if self.before else None

    @property
    def title(self) -> str:
        """The name with its unit."""
        return f"{self.name}, {self.unit}" if self.unit else self.name


def compare(before: Result, after: Result, least: float = LEAST_CHANGE) -> list[Change]:
    """Latency and right answers of each operation, and calls a second where clients set them.

    Parameters: `least` is the relative change of a median that counts.
    Raises `RefusedError` if the runs cannot be compared.
    """
    if _asked(before) != _asked(after):
        raise RefusedError(
            f"{before.name} and {after.name} are not the same scenario with the same options;"
            " compare two runs of one."
        )
    if before.machine != after.machine:
        raise RefusedError(
            f"The runs are from different machines ({before.machine}; {after.machine}): that says"
            " nothing about the software; compare two of one machine."
        )
    names = [name for name in before.blocks if name in after.blocks]
    if before.scenario.model == "open":
        names.remove(RATE)  # the clock says how many
    pairs = {name: (before.blocks[name], after.blocks[name]) for name in names}
    enough = {k: v for k, v in pairs.items() if min(map(len, v)) >= LEAST_BLOCKS}
    if max((len(one) for one in before.blocks.values()), default=0) < LEAST_BLOCKS:
        raise RefusedError(
            f"The runs are too short: fewer than {LEAST_BLOCKS} blocks of two seconds; run longer."
        )
    latency = [_change(name, *both, len(enough), least) for name, both in enough.items()]
    return [*latency, *_right_answers(before, after), *_counts(before, after)]


def _asked(run: Result) -> tuple[str, dict[str, object]]:
    """What was done, without what is said about it and what is demanded of it."""
    return run.name, run.scenario.model_dump(exclude={"about", "demand", "step"})


def _right_answers(before: Result, after: Result) -> Iterator[Change]:
    for name in before.steps[0].operations:
        was, rest = _right(before, name), _right(after, name)
        if not was[0]:
            continue  # the first run did not call it
        first, last = was[0] / was[1], rest[0] / max(1, rest[1])
        # What is under way at the edges of the measured part is counted on either side.
        loss = LEAST_LOSS + 2 / was[1]
        lost = len(before.blocks.get(name, ())) >= LEAST_BLOCKS > len(after.blocks.get(name, ()))
        worse = lost or first - last > loss
        better = not worse and last - first > loss
        yield Change(f"{name}, right answers", "%", 100 * first, 100 * last, None, worse, better)


def _right(run: Result, name: str) -> tuple[int, float]:
    """Right answers, and calls: those that the clock demanded, or that clients made."""
    parts: list[Operation] = [
        step.operations[name] for step in run.steps if name in step.operations
    ]
    rate = run.generator_rates.get(name, 0) if run.scenario.model == "open" else 0
    due = sum(rate * step.rate * (step.end - step.begin) for step in run.steps)
    made = sum(one.answered + one.failed + one.wrong + one.dropped for one in parts)
    return sum(one.answered for one in parts), max(due, made)


def _counts(before: Result, after: Result) -> Iterator[Change]:
    first, last = before.wrong, after.wrong
    if first or last:
        yield Change("wrong answers", "", first, last, None, last > first, last < first)
    asked = [(run.scenario.demand, run.scenario.step) for run in (before, after)]
    if asked[0] == asked[1] and before.verdict and after.verdict:
        was, now = float(before.met), float(after.met)
        yield Change("demands met", "", was, now, None, now < was, now > was)


def _change(
    name: str, before: Sequence[float], after: Sequence[float], tests: int, least: float
) -> Change:
    first, last = statistics.median(before), statistics.median(after)
    p = mann_whitney(before, after)
    counts = p < SIGNIFICANCE / tests and abs(last / first - 1) > least
    more_is_worse = name != RATE
    worse = counts and (last > first) == more_is_worse
    unit = "ms" if more_is_worse else ""
    return Change(name, unit, first, last, p, worse, counts and not worse)


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided P value of the U test, by the normal approximation with ties and continuity.

    Source: https://en.wikipedia.org/wiki/Mann-Whitney_U_test, which agrees with
    scipy.stats.mannwhitneyu(method="asymptotic").
    """
    n, m = len(first), len(second)
    ordered = sorted((*first, *second))
    counts = Counter(ordered)
    ranks, seen = {}, 0
    for value in sorted(counts):
        ranks[value] = seen + (counts[value] + 1) / 2
        seen += counts[value]
    u = sum(ranks[value] for value in first) - n * (n + 1) / 2
    total = n + m
    ties = sum(count**3 - count for count in counts.values()) / (total * (total - 1))
    deviation = math.sqrt(n * m / 12 * (total + 1 - ties))
    if deviation == 0:
        return 1.0
    distance = max(0.0, abs(u - n * m / 2) - 0.5)
    return 2 * (1 - statistics.NormalDist().cdf(distance / deviation))
