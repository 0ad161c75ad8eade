"""L3 for half an hour: neither latency nor memory, tables or the queue grow.

Each is the last third of the run by its first, as `guestcomms load run soak-rates` judges it.
"""

from __future__ import annotations

from guestcomms.load import result, verdict

from loadtest.bench.cluster import answers, cluster_of_its_own, load, p99, total
from loadtest.bench.model import Bench, Comparison, promise

SCENARIO = "soak-rates"
QUICK = ("--seconds", "120")
SECONDS = 3600


def run(bench: Bench) -> list[Comparison]:
    """Run the scenario on a cluster made for it; one promise for each thing that might grow."""
    with cluster_of_its_own(bench) as cluster:
        bench.say(f"guestcomms load run {SCENARIO} …")
        words = ("run", SCENARIO, *(QUICK if bench.quick else ()))
        soaked = load(cluster, *words, seconds=SECONDS)
        # The same run with its series, which the command leaves out.
        kept = result.load(soaked["file"])
    demand = kept.scenario.demand
    assert demand.growth is not None
    assert demand.p99_ms is not None
    grown = verdict.grown(kept)
    missed = [f"{one.what}: {one.measured}" for one in kept.verdict if not one.met]
    length = f"{kept.steps[0].end - kept.steps[0].begin:.0f} s"
    return [
        promise(
            "demands that were missed, all of them", "demands", [float(len(missed))], 0,
            at_most=True, note="; ".join(missed) or length,
        ),
        *answers(f"L3 for {length}", [soaked]),
        promise(
            "calls dropped", "calls", [float(total(soaked, "dropped"))], 0, at_most=True
        ),
        promise(
            "P99 of the slowest operation", "ms", p99([soaked]), demand.p99_ms, at_most=True
        ),
        *(
            promise(
                f"{name}, last third by first", "times",
                [float("inf") if value is None else value], demand.growth, at_most=True,
                note="not sampled" if value is None else "",
            )
            for name, value in grown.items()
        ),
    ]  # fmt: skip
