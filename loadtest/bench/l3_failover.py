"""L3 with a failover in the middle: how long until the full rate, and is anything lost or doubled?

The leader's machine is killed under the promised rates, as `make chaos` does it; clients make calls
without an answer again, under the same idempotency key. What they were told is written down by the
generator, outside the database, and compared with what the database has.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from guestcomms.load import plan
from guestcomms.load.result import Samples

from loadtest.bench.model import Bench, Comparison, promise
from tests.ops.cluster.harness import GUESTCOMMS, ROOT, CommandFailedError
from tests.ops.faults.stage import Stage

RUNS = 3
SCENARIO = "failover-rates"
BEFORE_SECONDS = 20
"""At the full rate after the warm-up, before the leader is killed."""
FULL = 0.95
"""Share of the rate before the fault that counts as full."""
CALLS = ("failed", "repeated")
EVENTS = 18
"""New events of a call of twenty; two were reported before."""


class Acknowledged(NamedTuple):
    """An answer: what was asked, the request's id, recipients or events or messages."""

    operation: str
    request: str
    items: int


class Recovery(NamedTuple):
    """Seconds after the fault: until any call was answered again, until as many as before."""

    first: float
    full: float


def run(bench: Bench) -> list[Comparison]:
    """Kill the leader in the middle of each run, and judge."""
    firsts, fulls, damage, calls = [], [], Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as name, closing(Stage(Path(name))) as stage:
        stage.configure(machines={"database": {"memory": "2GiB", "cores": 2}})
        bench.say("A cluster …")
        stage.renew()
        for number in range(1 if bench.quick else RUNS):
            bench.say(f"{SCENARIO} with a failover, {number + 1} …")
            result, killed = _one(stage)
            file = Path(result["file"])
            found = recovery(Samples(file.with_suffix(".samples.csv.gz")).calls, killed)
            firsts.append(found.first)
            fulls.append(found.full)
            every = [one for step in result["steps"] for one in step["operations"].values()]
            calls += Counter({name: sum(one[name] for one in every) for name in CALLS})
            calls["wrong"] += result["wrong"]
            damage += _damage(stage, result["run_id"], acknowledged(file))
            stage.wait_whole()
    assert damage["acknowledged"], "no answer to a writing call was written down"
    note = f"{calls['failed']} calls without an answer, {calls['repeated']} of them made again"
    told = f"{damage['acknowledged']:,} answers to writing calls compared with the database"
    rows = [
        ("calls answered again", "s", firsts, 25, note),
        ("full rate again", "s", fulls, 60, f"within {FULL:.0%}"),
        ("wrong answers", "answers", [float(calls["wrong"])], 0, ""),
        ("lost", "answers", [float(damage["lost"])], 0, told),
        ("doubled", "rows", [float(damage["doubled"])], 0, told),
    ]
    return [
        promise(f"L3, leader killed: {what}", unit, samples, bound, at_most=True, note=said)
        for what, unit, samples, bound, said in rows
    ]


def _one(stage: Stage) -> tuple[dict[str, Any], float]:
    """A run with the leader killed in it; its result, and when (Unix time) that was."""
    command = [str(GUESTCOMMS), "--stack", stage.stack, "load", "run", SCENARIO, "--json"]
    with subprocess.Popen(
        command, env=stage.environment, cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        said = []
        for line in child.stderr:
            said.append(line)
            if line.startswith("Load for"):
                break
        else:
            raise CommandFailedError(f"no load: {''.join(said[-5:])}")
        time.sleep(plan.catalogue().scenario(SCENARIO).shape.warm_up + BEFORE_SECONDS)
        leader = stage.container(stage.leader)
        killed = time.time()
        leader.kill()
        time.sleep(BEFORE_SECONDS)  # a machine that has to start
        leader.start()
        output, rest = child.communicate(timeout=300)
    if child.returncode not in {0, 6}:
        raise CommandFailedError(f"{command} → {child.returncode}\n{rest[-2000:]}")
    return dict(json.loads(output)), killed


def recovery(calls: Iterable[tuple[float, str, str]], killed: float) -> Recovery:
    """When calls were answered again, and when as many a second as in the ten before the fault.

    Parameters: `calls` as `Samples` has them; `killed` in Unix time. Only full seconds count.
    """
    seconds = Counter(int(at - killed + 1000) - 1000 for at, _, kind in calls if kind == "answered")
    before = sum(seconds[one] for one in range(-11, -1)) / 10
    last = max(seconds)
    # The second of the kill has answers from before it.
    silent = [one for one in range(1, last) if not seconds[one]]
    first = silent[-1] + 1 if silent else 1
    full = next(
        (
            one
            for one in range(first, last - 3)
            if sum(seconds[each] for each in range(one, one + 3)) / 3 >= before * FULL
        ),
        float("inf"),
    )
    return Recovery(first, full)


def acknowledged(file: Path) -> list[Acknowledged]:
    """What the generator wrote down beside a run."""
    found = []
    for line in file.with_suffix(".acknowledged").read_text("utf-8").splitlines():
        words = line[line.find("acknowledged ") :].rstrip('"').split()
        if len(words) >= 4:
            found.append(Acknowledged(words[1], words[2], int(words[3].rstrip('"'))))
    return found


def _damage(stage: Stage, run_id: str, told: Sequence[Acknowledged]) -> Counter[str]:
    """Compare what clients were told with what the database has."""
    leader = stage.leader

    def counted(query: str) -> dict[str, int]:
        rows = (line.split("|") for line in stage.superuser(leader, query).splitlines() if line)
        return {name: int(count) for name, count in rows}

    mine = f"LIKE '{run_id}-%'"
    known = {
        "status_update": counted(
            "SELECT regexp_replace(provider_event_id, '-[0-9]+$', ''), count(*)"  # noqa: S608
            f" FROM delivery_status WHERE provider_event_id {mine} GROUP BY 1"
        ),
        "bulk_send": counted(
            "SELECT idempotency_key, response ->> 'accepted'"  # noqa: S608
            f" FROM communication_idempotency WHERE idempotency_key {mine}"
        ),
        "send": counted(
            "SELECT left(provider_message_id, -37), count(*)"  # noqa: S608
            f" FROM internal.provider_messages WHERE provider_message_id {mine} GROUP BY 1"
        ),
    }
    twice = stage.superuser(
        leader,
        "SELECT count(*) FROM (SELECT recipient_id FROM internal.provider_messages"  # noqa: S608
        f" WHERE provider_message_id {mine} GROUP BY 1 HAVING count(*) > 1) AS doubled",
    )
    return compare(told, known) + Counter(doubled=int(twice))


def compare(told: Iterable[Acknowledged], known: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    """Count answers that the database knows too little of, and rows that are too many."""
    found = Counter[str]()
    for one in told:
        if one.operation not in known:
            continue
        found["acknowledged"] += 1
        wanted = EVENTS if one.operation == "status_update" else one.items
        there = known[one.operation].get(one.request, 0)
        found["lost"] += there < wanted
        found["doubled"] += max(0, there - wanted)
    return found
