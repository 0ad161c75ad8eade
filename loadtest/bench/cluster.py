"""What benchmarks on a whole cluster share: the cluster, load commands, figures of their runs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from loadtest.bench.model import Bench, Comparison, promise
from tests.ops.cluster.harness import Cluster

# Three runs leave two million recipients; they fit into a quarter of this.
MACHINES = {"database": {"memory": "6GiB", "cores": 2}}


@contextmanager
def cluster_of_its_own(bench: Bench) -> Iterator[Cluster]:
    """A cluster that `guestcomms up` has just made; gone afterwards."""
    with (
        tempfile.TemporaryDirectory() as state,
        closing(Cluster(Path(state), machines=MACHINES)) as cluster,
    ):
        bench.say("A cluster …")
        cluster.run("up", "--yes")
        yield cluster


def load(cluster: Cluster, *words: str, seconds: float = 900) -> Any:
    """What a load command measured, whether or not that met the demands (exit code 6)."""
    done = cluster.run("load", *words, "--json", ok=False, seconds=seconds)
    assert done.returncode in {0, 6}, done.stderr
    return json.loads(done.stdout)


def answers(target: str, runs: list[dict[str, Any]]) -> Iterator[Comparison]:
    """What no median of three runs may hide: the worst of them, and the sum."""
    worst = min(_success(one) for one in runs)
    note = ", ".join(f"{total(one, 'answered'):,}" for one in runs) + " right answers"
    yield promise(f"{target}: success, worst run", "%", [worst * 100], 99.9, note=note)
    wrong = [float(sum(one["wrong"] for one in runs))]
    yield promise(f"{target}: wrong answers, all runs", "answers", wrong, 0, at_most=True)


def total(run: dict[str, Any], what: str) -> int:
    """Calls of a run that were answered, failed, dropped."""
    return sum(one[what] for step in run["steps"] for one in step["operations"].values())


def _success(run: dict[str, Any]) -> float:
    right = total(run, "answered")
    return right / max(1, right + total(run, "failed") + total(run, "wrong"))


def p99(runs: list[dict[str, Any]]) -> list[float]:
    """P99 of the slowest operation of each run, in milliseconds."""
    return [
        max(
            one["p99_ms"] or float("inf")
            for step in run["steps"]
            for one in step["operations"].values()
        )
        for run in runs
    ]
