"""L1, L2, L3, L9: a cluster made for it under load, three times; then until it breaks.

What is promised is the reference of each comparison; L2 compares the mix with `pgbench -N`, both by
pgbench, with as many clients, in turns. The runs are kept in .state/load, each with its page:
`guestcomms load report RUN`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loadtest.bench.cluster import MACHINES, answers, cluster_of_its_own, load, p99, total
from loadtest.bench.model import Bench, Comparison, promise

RUNS = 3
SMALL = ("--clients", "50", "--seconds", "10", "--turns", "1")


def run(bench: Bench) -> list[Comparison]:
    """Bring up a cluster, run `guestcomms load verify` so often, then the break-point."""
    verified: list[dict[str, Any]] = []
    with cluster_of_its_own(bench) as cluster:
        for number in range(1 if bench.quick else RUNS):
            bench.say(f"guestcomms load verify, {number + 1} …")
            verified.append(load(cluster, "verify", *(SMALL if bench.quick else ())))
        bench.say("guestcomms load run break-point …")
        rate = "1" if all(one["runs"][1]["met"] for one in verified) else "0.5"
        small = SMALL[2:4] if bench.quick else ()
        broken = load(cluster, "run", "break-point", "--rate", rate, *small)
    clients = [one["runs"][0] for one in verified]
    rates = [one["runs"][1] for one in verified]
    return [*_clients(clients), *_rates(rates), _limit(broken), *_server(rates)]


def _clients(runs: list[dict[str, Any]]) -> Iterator[Comparison]:
    shown = [float(one["server"]["pool_clients_min"] or 0) for one in runs]
    wanted = float(runs[0]["scenario"]["clients"])
    note = f"database machines of {MACHINES['database']['memory']}"
    yield promise("L1: clients that PgBouncer shows, least", "clients", shown, wanted, note=note)
    yield from answers("L1", runs)
    yield promise("L1: P99 of the slowest operation", "ms", p99(runs), 2000, at_most=True)
    unmeasured = [one["verdict"] for one in runs if one["reference"] is None]
    assert not unmeasured, f"pgbench measured nothing: {unmeasured}"
    mix = [rate for one in runs for rate in one["reference"]["mix"]]
    plain = [rate for one in runs for rate in one["reference"]["plain"]]
    yield Comparison(
        "L2: calls, both by pgbench", "calls/s", "the mix", "pgbench -N, prepared", mix, plain, 0.8
    )


def _rates(runs: list[dict[str, Any]]) -> Iterator[Comparison]:
    yield from answers("L3", runs)
    dropped = [float(sum(total(one, "dropped") for one in runs))]
    yield promise("L3: calls dropped, all runs", "calls", dropped, 0, at_most=True)
    yield promise("L3: P99 of the slowest operation", "ms", p99(runs), 500, at_most=True)


def _limit(run: dict[str, Any]) -> Comparison:
    rate = float(run["limit"])
    note = "; ".join(run["saturated"])
    return Comparison(
        "L3: highest multiple of the rates that held", "times", "measured", "promised", [rate],
        [1.0], 2, note=note,
    )  # fmt: skip


def _server(runs: list[dict[str, Any]]) -> Iterator[Comparison]:
    hits = [one["server"]["cache_hit"] * 100 for one in runs]
    yield promise("L9: cache hits at the promised rates", "%", hits, 99)
    used = [one["server"]["pool_use"] * 100 for one in runs]
    yield promise("L9: pool used at the promised rates", "%", used, 85, at_most=True)
