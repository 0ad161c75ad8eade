"""Whether one run is worse than another: a test on raw samples, and how much it is.

Calls that follow each other are not independent: a slow second slows down thousands. So a sample
here is the median of a block of two seconds (batch means; A. Law, Simulation Modeling and Analysis,
9.5.3), and the blocks of two runs are compared by the Mann-Whitney U test (H. B. Mann, D. R.
Whitney, 1947), which asks nothing of their distribution. A difference counts if chance would make
it in fewer than one of a hundred comparisons, all operations together (Bonferroni), and if the
medians differ by more than two equal runs on a busy machine do.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from guestcomms.errors import RefusedError
from guestcomms.load.result import Result

SIGNIFICANCE = 0.01
LEAST_CHANGE = 0.1
LEAST_BLOCKS = 5
RATE = "calls/s"


@dataclass(frozen=True)
class Change:
    """One figure in two runs: medians of blocks, and the probability that chance made the rest."""

    name: str
    before: float
    after: float
    p: float
    worse: bool
    better: bool

    @property
    def ratio(self) -> float:
        """After by before."""
        return self.after / self.before


def compare(before: Result, after: Result, least: float = LEAST_CHANGE) -> list[Change]:
    """Latency of each operation, and calls a second where the generator did not set them.

    Parameters: `least` is the relative change of a median that counts.
    Raises `RefusedError` if the runs cannot be compared.
    """
    if (before.name, before.scenario) != (after.name, after.scenario):
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
    if not enough:
        raise RefusedError(
            f"The runs are too short: fewer than {LEAST_BLOCKS} blocks of two seconds; run longer."
        )
    return [_change(name, *both, len(enough), least) for name, both in enough.items()]


def _change(
    name: str, before: Sequence[float], after: Sequence[float], tests: int, least: float
) -> Change:
    first, last = statistics.median(before), statistics.median(after)
    p = mann_whitney(before, after)
    counts = p < SIGNIFICANCE / tests and abs(last / first - 1) > least
    more_is_worse = name != RATE
    worse = counts and (last > first) == more_is_worse
    return Change(name, first, last, p, worse, counts and not worse)


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
