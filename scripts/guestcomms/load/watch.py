"""Machines under load, seen from inside: loadtest/sampler.py runs on each and reports."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from guestcomms import db, paths, run
from guestcomms.load.target import Target

SOURCE = paths.ROOT / "loadtest" / "sampler.py"
GRACE_SECONDS = 60.0
FIRST_SECONDS = 15.0
Sample = dict[str, Any]


class Watch:
    """The samplers of a run: they end with it, or by themselves if we are killed."""

    def __init__(self, target: Target, folder: Path, seconds: float) -> None:
        self._target, self._folder, self._seconds = target, folder, seconds
        self._children: list[run.Child] = []
        self._token = f"guestcomms-sampler-{secrets.token_hex(8)}"

    def __enter__(self) -> Self:
        # A channel that answers only at the end gives so many lines and no more.
        interval = max(2.0, self._seconds / 300)
        arguments = [f"{self._seconds + GRACE_SECONDS:.0f}", f"{interval:g}"]
        arguments += [db.database_of(self._target.ops), self._token]
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
        """The last sample of the machine whose pooler has clients."""
        last = [each[-1] for each in self.samples().values() if each]
        pooled = [one for one in last if one.get("pool")]
        return max(pooled, key=lambda one: clients(one["pool"]), default=None)

    def _file(self, name: str) -> Path:
        return self._folder / f"watch-{name}.jsonl"


def _lines(file: Path) -> Iterator[Sample]:
    if not file.is_file():
        return
    for line in file.read_text("utf-8", errors="replace").splitlines():
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

    `cpu` is cores used, by component and by machine/component; pools and waits are means of the
    samples; what no machine could tell is absent.
    """
    inside = {
        name: [one for one in each if low <= one["t"] <= high] for name, each in samples.items()
    }
    everything = [one for each in inside.values() for one in each]
    leading = sorted(
        (one for one in everything if (one.get("database") or {}).get("standby") is False),
        key=lambda one: one["t"],
    )
    pools = [one["pool"] for one in leading if one.get("pool")]
    found: dict[str, Any] = {"samples": len(leading), "cpu": _cpu(inside)}
    found |= _machine(inside)
    if pools:
        found |= {
            "pool_clients_max": max(map(clients, pools)),
            "pool_clients_min": min(map(clients, pools)),
            "pool_waiting_mean": _mean([one["cl_waiting"] for one in pools]),
            "pool_active_mean": _mean([one["sv_active"] for one in pools]),
            "pool_size": pools[-1]["size"],
            "pool_wait_max_seconds": max(one["maxwait"] for one in pools),
        }
        if found["pool_size"]:
            found["pool_use"] = _mean([one["busiest"] for one in pools]) / found["pool_size"]
    if leading:
        found |= _database([one["database"] for one in leading], leading[-1]["t"] - leading[0]["t"])
        found["waits"] = waits(leading)
    return found


def _cpu(inside: Mapping[str, Sequence[Sample]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, each in inside.items():
        if len(each) < 2:
            continue
        seconds = each[-1]["t"] - each[0]["t"]
        for component, after in each[-1]["cpu"].items():
            used = max(0.0, after - each[0]["cpu"].get(component, 0.0)) / seconds
            found[component] = found.get(component, 0.0) + used
            found[f"{name}/{component}"] = used
    return {key: round(value, 3) for key, value in sorted(found.items())}


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


def _database(seen: Sequence[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    statistics = [one["statistics"] for one in seen if one.get("statistics")]
    if len(statistics) > 1:
        first, last = statistics[0], statistics[-1]
        hit, read = last["hit"] - first["hit"], last["read"] - first["read"]
        if hit + read > 0:
            found["cache_hit"] = hit / (hit + read)
        found["commits_per_second"] = (last["commits"] - first["commits"]) / max(1, seconds)
        found["rollbacks_per_second"] = (last["rollbacks"] - first["rollbacks"]) / max(1, seconds)
        found["deadlocks"] = last["deadlocks"] - first["deadlocks"]
        found["size_growth_bytes"] = last["size"] - first["size"]
    wal = [one["wal"] for one in seen if one.get("wal")]
    if len(wal) > 1:
        found["wal_bytes_per_second"] = (wal[-1]["bytes"] - wal[0]["bytes"]) / max(1, seconds)
    locks = [one["locks"]["waiting"] for one in seen if one.get("locks")]
    if locks:
        found["locks_waiting_mean"] = _mean(locks)
    lags = [each["lag_bytes"] or 0 for one in seen for each in one.get("replication") or []]
    if lags:
        found["replication_lag_max_bytes"] = max(lags)
    queue = [one["queue"]["messages"] for one in seen if one.get("queue")]
    if queue:
        found |= {"queue_begin_messages": queue[0], "queue_end_messages": queue[-1]}
    functions = [one["functions"] for one in seen if one.get("functions")]
    if len(functions) > 1:
        found["functions"] = _functions(functions[0], functions[-1])
    return found


def _functions(first: Sequence[Any], last: Sequence[Any]) -> dict[str, dict[str, float]]:
    """Calls and mean time of each API function; statistics come in late, once a second."""
    before = {one["name"]: one for one in first}
    found = {}
    for one in last:
        calls = one["calls"] - before.get(one["name"], {}).get("calls", 0)
        spent = one["ms"] - before.get(one["name"], {}).get("ms", 0)
        if calls > 0:
            found[one["name"]] = {"calls": calls, "ms": round(spent / calls, 3)}
    return found


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
    """Figures over the seconds of the run, for charts."""
    found: dict[str, list[tuple[float, float | None]]] = {}

    def put(name: str, at: float, value: float | None) -> None:
        found.setdefault(name, []).append((round(at - begin, 1), value))

    for name, each in samples.items():
        for before, one in pairwise(each):
            seconds = one["t"] - before["t"]
            for component in one["cpu"]:
                if component == "other":
                    continue
                used = one["cpu"][component] - before["cpu"].get(component, 0)
                if used / seconds >= 0.02:
                    put(f"cpu {name} {component}", one["t"], max(0.0, used / seconds))
            if (one.get("database") or {}).get("standby") is not False:
                continue
            _of_leader(before, one, put)
    return found


def _of_leader(before: Sample, one: Sample, put: Any) -> None:
    at, seen = one["t"], one["database"]
    if one.get("pool"):
        put("pool clients", at, clients(one["pool"]))
        put("pool waiting", at, one["pool"]["cl_waiting"])
        put("pool active", at, one["pool"]["sv_active"])
    if seen.get("locks"):
        put("locks waiting", at, seen["locks"]["waiting"])
    if seen.get("queue"):
        put("queue messages", at, seen["queue"]["messages"])
    put("memory MiB", at, one["memory"].get("postgres", 0) / 2**20)
    lags = [each["lag_bytes"] or 0 for each in seen.get("replication") or []]
    if lags:
        put("replication lag MiB", at, max(lags) / 2**20)
    earlier = before.get("database") or {}
    if seen.get("wal") and earlier.get("wal"):
        written = seen["wal"]["bytes"] - earlier["wal"]["bytes"]
        put("wal MiB/s", at, written / (at - before["t"]) / 2**20)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
