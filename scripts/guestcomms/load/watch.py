"""Machines under load, seen from inside: loadtest/sampler.py runs on each and reports."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from guestcomms import db, paths, run
from guestcomms.load.target import Target

SOURCE = paths.ROOT / "loadtest" / "sampler.py"
GRACE_SECONDS = 60.0
FIRST_SECONDS = 15.0
LATEST_SECONDS = 2.0
LINE_BYTES = 65536
"""More than the longest line of a sampler has."""
MEASURED = ("postgres", "pgbouncer", "haproxy")
"""Components whose memory is judged."""
Sample = dict[str, Any]
Put = Callable[[str, float, float | None], None]


class Watch:
    """The samplers of a run: they end with it, or by themselves if we are killed."""

    def __init__(self, target: Target, folder: Path, seconds: float) -> None:
        self._target, self._folder, self._seconds = target, folder, seconds
        self._children: list[run.Child] = []
        self._token = f"guestcomms-sampler-{secrets.token_hex(8)}"
        self._latest: Sample | None = None
        self._looked = -LATEST_SECONDS

    def __enter__(self) -> Self:
        # A channel that answers only at the end gives so many lines and no more.
        interval = max(2.0, self._seconds / 300)
        arguments = [f"{self._seconds + GRACE_SECONDS:.0f}", f"{interval:g}"]
        arguments += [db.database_of(self._target.ops), db.login_of(self._target.app), self._token]
        for name, channel in self._target.machines.items():
            command = [*channel, "python3", "-c", SOURCE.read_text("utf-8"), *arguments]
            self._children.append(run.start(command, env={}, output=self._file(name)))
        deadline = time.monotonic() + FIRST_SECONDS
        while not all(self.samples().values()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        # Who ends a channel does not end what runs at its other side.
        for channel in self._target.machines.values():
            end = [*channel, "pkill", "-f", self._token]
            with suppress(run.CommandError):
                run.capture(end, todo="it ends by itself", check=False)
        for child in self._children:
            run.end(child, 10)

    def samples(self) -> dict[str, list[Sample]]:
        """What each machine has said so far."""
        return {name: list(_lines(self._file(name))) for name in self._target.machines}

    def latest(self) -> Sample | None:
        """The last sample of the machine whose pooler has clients; looked for every two seconds."""
        if time.monotonic() - self._looked >= LATEST_SECONDS:
            self._looked = time.monotonic()
            last = [_last(self._file(name)) for name in self._target.machines]
            pooled = [one for one in last if one and one.get("pool")]
            self._latest = max(pooled, key=lambda one: clients(one["pool"]), default=None)
        return self._latest

    def _file(self, name: str) -> Path:
        return self._folder / f"watch-{name}.jsonl"


def _last(file: Path) -> Sample | None:
    """The last whole sample, without reading those before it."""
    if not file.is_file():
        return None
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - 2 * LINE_BYTES), os.SEEK_SET)
        lines = opened.read().decode("utf-8", errors="replace").splitlines()
    return next(_parsed(reversed(lines)), None)


def _lines(file: Path) -> Iterator[Sample]:
    if file.is_file():
        yield from _parsed(file.read_text("utf-8", errors="replace").splitlines())


def _parsed(lines: Iterable[str]) -> Iterator[Sample]:
    for line in lines:
        try:
            found = json.loads(line)
        except json.JSONDecodeError:  # half a line, or a word of the channel's
            continue
        if isinstance(found, dict):
            yield found


def clients(pool: Mapping[str, Any]) -> int:
    """Clients of a pooler, whether they are served or wait."""
    return int(pool["cl_active"]) + int(pool["cl_waiting"])


def figures(samples: Mapping[str, Sequence[Sample]], low: float, high: float) -> dict[str, Any]:
    """What the machines measured between two moments (Unix time).

    `cpu` is cores used, `memory` mean bytes and `processes` their mean number, by component and by
    machine/component; pools and waits are means of the samples; `pool_clients` are those of the
    application's login; what no machine could tell is absent.
    """
    inside = {
        name: [one for one in each if low <= one["t"] <= high] for name, each in samples.items()
    }
    reigns = {name: _reigns(each) for name, each in inside.items()}
    leading = sorted(
        (one for each in reigns.values() for reign in each for one in reign),
        key=lambda one: one["t"],
    )
    pools = [one["pool"] for one in leading if one.get("pool")]
    told = [one for one in leading if one["database"].get("statistics")]
    intervals = [one["interval"] for each in inside.values() for one in each if "interval" in one]
    found: dict[str, Any] = {
        "samples": len(leading), "pool_samples": len(pools), "database_samples": len(told),
        "cpu": _cpu(inside), "memory": _means(inside, "memory"),
        "processes": _means(inside, "processes"),
    }  # fmt: skip
    if intervals:
        found["samples_expected"] = (high - low) / max(intervals)
    if leading:
        found["leader"] = max(reigns, key=lambda name: sum(map(len, reigns[name])))
    found |= _machine(inside)
    if pools:
        found |= {
            "pool_clients_max": max(one["cl_login"] for one in pools),
            "pool_clients_min": min(one["cl_login"] for one in pools),
            "pool_waiting_mean": _mean([one["cl_waiting"] for one in pools]),
            "pool_active_mean": _mean([one["sv_active"] for one in pools]),
            "pool_servers_mean": _mean([one["sv_active"] + one["sv_idle"] for one in pools]),
            "pool_all_clients_mean": _mean([clients(one) for one in pools]),
            "pool_size": pools[-1]["size"],
            "pool_wait_max_seconds": max(one["maxwait"] for one in pools),
        }
        if found["pool_size"]:
            found["pool_use"] = _mean([one["busiest"] for one in pools]) / found["pool_size"]
    if leading:
        found |= _moments([one["database"] for one in leading])
        found |= _changes([reign for each in reigns.values() for reign in each])
        found["waits"] = waits(leading)
    return found


def _reigns(each: Sequence[Sample]) -> list[list[Sample]]:
    """The samples of one machine while it led, in stretches without another leader between."""
    found: list[list[Sample]] = [[]]
    for one in each:
        standby = (one.get("database") or {}).get("standby")
        if standby is False:
            found[-1].append(one)
        elif standby and found[-1]:
            found.append([])
    return [reign for reign in found if reign]


def _cpu(inside: Mapping[str, Sequence[Sample]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, each in inside.items():
        if len(each) < 2:
            continue
        seconds = each[-1]["t"] - each[0]["t"]
        for component in each[-1]["cpu"]:
            # What a component used is gone with its first process: that is no use below zero.
            used = sum(
                max(0.0, after["cpu"].get(component, 0.0) - before["cpu"].get(component, 0.0))
                for before, after in pairwise(each)
            )
            found[component] = found.get(component, 0.0) + used / seconds
            found[f"{name}/{component}"] = used / seconds
    return {key: round(value, 3) for key, value in sorted(found.items())}


def _means(inside: Mapping[str, Sequence[Sample]], what: str) -> dict[str, float]:
    """Means by component and by machine/component."""
    found: dict[str, float] = {}
    for name, each in inside.items():
        for component in sorted({key for one in each for key in one.get(what) or {}}):
            mean = _mean([(one.get(what) or {}).get(component, 0) for one in each])
            found[f"{name}/{component}"] = round(mean, 1)
            found[component] = round(found.get(component, 0) + mean, 1)
    return dict(sorted(found.items()))


def _machine(inside: Mapping[str, Sequence[Sample]]) -> dict[str, float]:
    """The busiest machine: share of its time that its cores (of a container: the host's) idle."""
    idle = []
    for each in inside.values():
        if len(each) < 2:
            continue
        first, last = each[0]["machine"], each[-1]["machine"]
        spent = {key: last[key] - first[key] for key in ("busy", "idle")}
        idle.append(spent["idle"] / max(0.01, spent["busy"] + spent["idle"]))
    if not idle:
        return {}
    return {"machine_idle": min(idle), "machine_cores": _cores(inside)}


def _cores(inside: Mapping[str, Sequence[Sample]]) -> float:
    return float(max(one["machine"]["cores"] for each in inside.values() for one in each))


def _moments(seen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What leaders said about a moment, whichever it was."""
    found: dict[str, Any] = {}
    locks = [one["locks"]["waiting"] for one in seen if one.get("locks")]
    if locks:
        found["locks_waiting_mean"] = _mean(locks)
    lags = [each["lag_bytes"] or 0 for one in seen for each in one.get("replication") or []]
    if lags:
        found["replication_lag_max_bytes"] = max(lags)
    queue = [one["queue"]["messages"] for one in seen if one.get("queue")]
    if queue:
        found |= {"queue_begin_messages": queue[0], "queue_end_messages": queue[-1]}
    tables = [one["tables"] for one in seen if one.get("tables")]
    if tables:
        found |= {
            "dead_rows_share_max": max(map(dead_share, tables)),
            "bytes_per_row": bytes_per_row(tables[-1]),
            "queue_table_bytes": tables[-1]["queue_bytes"],
        }
    return found


def dead_share(tables: Mapping[str, float]) -> float:
    """Dead rows by live ones, of all tables."""
    return tables["dead"] / max(1.0, tables["live"])


def bytes_per_row(tables: Mapping[str, float]) -> float:
    """Size of all tables by their live rows: it grows where dead rows are not used again."""
    return tables["bytes"] / max(1.0, tables["live"])


def _changes(reigns: Sequence[Sequence[Sample]]) -> dict[str, Any]:
    """What counters of leaders grew by, each by its own: another server counts from elsewhere."""
    found: dict[str, Any] = {}
    statistics, seconds = _grown(reigns, "statistics")
    if seconds:
        if statistics["hit"] + statistics["read"] > 0:
            found["cache_hit"] = statistics["hit"] / (statistics["hit"] + statistics["read"])
        found["commits_per_second"] = statistics["commits"] / seconds
        found["rollbacks_per_second"] = statistics["rollbacks"] / seconds
        found["deadlocks"] = statistics["deadlocks"]
    wal, seconds = _grown(reigns, "wal")
    if seconds:
        found["wal_bytes_per_second"] = wal["bytes"] / seconds
    io, seconds = _grown(reigns, "io")
    if seconds:
        found |= {f"io_{name}_per_second": value / seconds for name, value in io.items()}
    sizes = [(before["bytes"], after["bytes"], s) for before, after, s in _pairs(reigns, "sizes")]
    if sizes:
        grown = sum(after - before for before, after, _ in sizes)
        found["growth_bytes_per_second"] = grown / sum(seconds for _, _, seconds in sizes)
    functions = _functions(reigns)
    if functions:
        found["functions"] = functions
    return found


def _pairs(reigns: Sequence[Sequence[Sample]], part: str) -> Iterator[tuple[Any, Any, float]]:
    """What the database said twice running under one leader, and the seconds between."""
    for reign in reigns:
        told = [one for one in reign if one["database"].get(part)]
        for before, after in pairwise(told):
            yield before["database"][part], after["database"][part], after["t"] - before["t"]


def _grown(reigns: Sequence[Sequence[Sample]], part: str) -> tuple[dict[str, float], float]:
    """How much counters grew, and in how many seconds; those lost in a crash begin again."""
    grown: dict[str, float] = {}
    total = 0.0
    for before, after, seconds in _pairs(reigns, part):
        by = {name: (after[name] or 0) - (before[name] or 0) for name in after}
        if min(by.values()) >= 0:
            grown = {name: grown.get(name, 0) + value for name, value in by.items()}
            total += seconds
    return grown, total


def _functions(reigns: Sequence[Sequence[Sample]]) -> dict[str, dict[str, float]]:
    """Calls and mean time of each API function; statistics come in late, once a second."""
    calls: dict[str, float] = {}
    spent: dict[str, float] = {}
    for first, last, _ in _pairs(reigns, "functions"):
        before = {one["name"]: one for one in first}
        for one in last:
            earlier = before.get(one["name"], {"calls": 0, "ms": 0})
            if one["calls"] >= earlier["calls"] and one["ms"] >= earlier["ms"]:
                name = one["name"]
                calls[name] = calls.get(name, 0) + one["calls"] - earlier["calls"]
                spent[name] = spent.get(name, 0) + one["ms"] - earlier["ms"]
    return {
        name: {"calls": count, "ms": round(spent[name] / count, 3)}
        for name, count in calls.items()
        if count > 0
    }


def waits(leading: Sequence[Sample]) -> dict[str, float]:
    """Shares of what sessions in a transaction did: `CPU`, `IPC/SyncRep` and so on."""
    counted: dict[str, int] = {}
    for one in leading:
        for row in one["database"].get("activity") or []:
            if row["state"] in {"active", "idle in transaction"}:
                cpu = row["type"] == "CPU"
                name = "CPU" if cpu else f"{row['type']}/{row['event']}"
                counted[name] = counted.get(name, 0) + row["sessions"]
    total = sum(counted.values())
    return {
        name: round(count / total, 4)
        for name, count in sorted(counted.items(), key=lambda item: -item[1])
    }


def series(
    samples: Mapping[str, Sequence[Sample]], begin: float
) -> dict[str, list[tuple[float, float | None]]]:
    """Figures over the seconds of the run, for charts and for what may not grow."""
    found: dict[str, list[tuple[float, float | None]]] = {}

    def put(name: str, at: float, value: float | None) -> None:
        found.setdefault(name, []).append((round(at - begin, 1), value))

    for name, each in samples.items():
        for before, one in pairwise(each):
            _of_machine(name, before, one, put)
            if (one.get("database") or {}).get("standby") is False:
                _of_leader(before, one, put)
    for points in found.values():
        points.sort(key=lambda point: point[0])  # of several leaders
    return found


def _of_machine(name: str, before: Sample, one: Sample, put: Put) -> None:
    at, seconds = one["t"], one["t"] - before["t"]
    for component in one["cpu"]:
        used = (one["cpu"][component] - before["cpu"].get(component, 0)) / seconds
        if component != "other" and used >= 0.02:
            put(f"cpu {name} {component}", at, used)
    for component in MEASURED:
        if one["memory"].get(component):
            put(f"memory {component} {name}", at, one["memory"][component] / 2**20)


def _of_leader(
    before: Sample, one: Sample, put: Callable[[str, float, float | None], None]
) -> None:
    at, seen = one["t"], one["database"]
    if one.get("pool"):
        put("pool clients", at, clients(one["pool"]))
        put("pool waiting", at, one["pool"]["cl_waiting"])
        put("pool active", at, one["pool"]["sv_active"])
    if seen.get("locks"):
        put("locks waiting", at, seen["locks"]["waiting"])
    if seen.get("queue"):
        put("queue messages", at, seen["queue"]["messages"])
    if seen.get("tables"):
        put("dead rows %", at, 100 * dead_share(seen["tables"]))
        put("bytes a row", at, bytes_per_row(seen["tables"]))
        put("queue table MiB", at, seen["tables"]["queue_bytes"] / 2**20)
    lags = [each["lag_bytes"] or 0 for each in seen.get("replication") or []]
    if lags:
        put("replication lag MiB", at, max(lags) / 2**20)
    earlier = before.get("database") or {}
    if earlier.get("standby") is False and seen.get("wal") and earlier.get("wal"):
        written = seen["wal"]["bytes"] - earlier["wal"]["bytes"]
        put("wal MiB/s", at, max(0.0, written) / (at - before["t"]) / 2**20)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
