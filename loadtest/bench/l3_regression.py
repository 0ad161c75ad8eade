"""`guestcomms load compare`: two equal runs are the same, a fifth more time for renders is worse.

The regression is real: the function computes in vain for a fifth of what a call took before.
"""

from __future__ import annotations

from typing import Any

from loadtest.bench.cluster import cluster_of_its_own, load
from loadtest.bench.model import Bench, Comparison, promise
from tests.ops.cluster.harness import Cluster

RATE = 0.4
"""Of the promised rates: below what the machine carries, where equal runs are equal."""
SLOWER = 0.2
OPERATION = "template_render"
OWNER = ("--role", "migrator", "--direct")
DEFINITION = (
    "SELECT pg_get_functiondef(oid) FROM pg_proc"
    " WHERE proname = 'render_template' AND proowner = 'comms_owner'::regrole"
)
BUSY = """BEGIN
    DECLARE v_end timestamptz := clock_timestamp() + interval '{} microseconds';
    BEGIN WHILE clock_timestamp() < v_end LOOP END LOOP; END;"""


def run(bench: Bench) -> list[Comparison]:
    """Run the same twice, slow one function down, run it once more; compare."""
    options = ["--rate", str(RATE), *(["--seconds", "20"] if bench.quick else [])]
    with cluster_of_its_own(bench) as cluster:
        runs = []
        for number in range(2):
            bench.say(f"guestcomms load run sustained-rates, {number + 1} …")
            runs.append(load(cluster, "run", "sustained-rates", *options))
        before = float(runs[0]["steps"][0]["operations"][OPERATION]["p50_ms"])
        slow_down(cluster, SLOWER * before / 1000)
        bench.say("the same with renders slowed down …")
        runs.append(load(cluster, "run", "sustained-rates", *options))
        files = [one["file"] for one in runs]
        equal = load(cluster, "compare", files[0], files[1])
        slower = load(cluster, "compare", files[0], files[2])
    (render,) = (one for one in slower if one["name"] == OPERATION)
    more = f"{before:.2f} ms before, {SLOWER * before:.2f} ms more work"
    return [
        promise(
            "load compare, two equal runs: figures called worse", "figures",
            [_worse(equal)], 0, at_most=True, note=", ".join(
                f"{one['name']} {one['ratio']:.2f} times" for one in equal if one["ratio"]
            ),
        ),
        promise(
            "load compare, renders a fifth slower: called worse", "figures",
            [float(render["worse"])], 1,
            note=f"{more}: {render['ratio']:.2f} times",
        ),
    ]  # fmt: skip


def slow_down(cluster: Cluster, seconds: float) -> None:
    """Make each render compute for so long in vain."""
    ((definition,),) = cluster.query(DEFINITION, *OWNER)
    slowed = str(definition).replace("BEGIN", BUSY.format(round(seconds * 1e6)), 1)
    cluster.query(f"SET ROLE comms_owner; {slowed}", *OWNER)


def _worse(changes: list[dict[str, Any]]) -> float:
    return float(sum(one["worse"] for one in changes))
