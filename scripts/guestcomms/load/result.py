"""What a run measured: one JSON file, with its raw samples beside it."""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
import platform
import statistics
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from guestcomms import db, paths, run
from guestcomms.errors import RefusedError, UsageError
from guestcomms.load.plan import Scenario, Window
from guestcomms.load.target import Target

FOLDER = paths.STATE / "load"
BLOCK_SECONDS = 2.0
"""Raw samples are compared by the medians and P95 of blocks of this length: see compare.py."""
HEARTBEAT_MS = 50.0
"""How long the generator's heartbeat sleeps, by loadtest/scenarios/mix.js."""
P95 = ", P95"
"""Behind the name of an operation among blocks: their P95; without it, their medians."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Operation(_Part):
    """One operation within one window; times in milliseconds."""

    answered: int = 0
    failed: int = 0
    wrong: int = 0
    dropped: int = 0
    repeated: int = 0
    """Calls made again because they had no answer."""
    items: int = 0
    """Recipients, events, rows or messages of the right answers."""
    per_second: float = 0
    items_per_second: float = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    server_ms: float | None = None
    """Mean time inside the database's function."""


class Step(_Part):
    """One window of the run."""

    begin: float
    end: float
    rate: float
    operations: dict[str, Operation]

    @property
    def answered(self) -> int:
        """Right answers to all operations."""
        return sum(one.answered for one in self.operations.values())

    @property
    def failed(self) -> int:
        """Calls without an answer."""
        return sum(one.failed for one in self.operations.values())

    @property
    def wrong(self) -> int:
        """Answers that were another's or not what was asked for."""
        return sum(one.wrong for one in self.operations.values())

    @property
    def dropped(self) -> int:
        """Calls that no client was free to make."""
        return sum(one.dropped for one in self.operations.values())

    @property
    def success(self) -> float | None:
        """Right answers by calls; None without calls."""
        calls = self.answered + self.failed + self.wrong
        return self.answered / calls if calls else None

    @property
    def p99_ms(self) -> float | None:
        """The worst P99 of an operation."""
        known = [one.p99_ms for one in self.operations.values() if one.p99_ms is not None]
        return max(known, default=None)


class Judged(_Part):
    """One demand, what was measured, and whether that is enough."""

    what: str
    demanded: str
    measured: str
    met: bool


class Reference(_Part):
    """The mix and a plain transaction by pgbench, in turns by the same way; calls a second."""

    clients: int
    seconds: float
    mix: list[float]
    plain: list[float]


class Result(_Part):
    """A run."""

    run_id: str
    name: str
    stack: str
    place: str
    scenario: Scenario
    started_at: datetime
    completed_at: datetime
    interrupted: bool = False
    machine: str
    commit: str
    versions: dict[str, str]
    generator: dict[str, float | None]
    """P95 and maximum of how late k6 woke up, in milliseconds; its cores, its exit code; the second
    of the last answer; calls that were still without one when it ended."""
    generator_rates: dict[str, float] = {}
    """Calls a second of each operation at rate 1."""
    steps: list[Step]
    errors: dict[str, int]
    """What went wrong, without ids and numbers, and how often."""
    wrong: int = 0
    """Wrong answers of the whole run, warm-up and ramps included."""
    blocks: dict[str, list[float]]
    """Of every operation the medians of latency, in milliseconds, of blocks of two seconds, and
    under `NAME, P95` their P95; under `calls/s` the right answers of each block by its length."""
    server: dict[str, Any]
    """Figures of the machines in the measured part: see watch.py."""
    series: dict[str, list[tuple[float, float | None]]]
    """The same over time, for charts: (second, value)."""
    broken: dict[str, Any] = {}
    """The same in the first step that did not hold, in a run that raises its rate."""
    reference: Reference | None = None
    verdict: list[Judged] = []
    causes: list[str] = []
    limit: float | None = None
    """The highest multiple of the rates that held, in a run that raises it."""

    @property
    def met(self) -> bool:
        """Whether everything that was demanded was measured."""
        return bool(self.verdict) and all(one.met for one in self.verdict)

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return FOLDER / f"{self.started_at:%Y%m%dT%H%M%SZ}-{self.name}.json"

    def save(self) -> Path:
        """Write the file."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.file.write_text(self.model_dump_json(indent=1) + "\n", "utf-8")
        return self.file


def load(name: str) -> Result:
    """A kept run: by file, by the begin of its name, or the last of a scenario.

    Raises `UsageError` if there is none such.
    """
    path = Path(name)
    if not path.is_file():
        kept = sorted(FOLDER.glob("*.json"))
        found = [one for one in kept if one.stem.startswith(name) or one.stem.endswith(f"Z-{name}")]
        if not found:
            shown = ", ".join(one.stem for one in kept[-5:]) or "none"
            raise UsageError(f"There is no load run {name!r} in {FOLDER}; the last are: {shown}.")
        path = found[-1]
    try:
        return Result.model_validate_json(path.read_text("utf-8"))
    except ValueError as error:
        raise RefusedError(
            f"{path} is not a result of this version: {str(error).splitlines()[0]}; run it again."
        ) from error


class Samples:
    """k6's samples, as its CSV output has them: each with its second of the run."""

    def __init__(self, file: Path) -> None:
        self.calls: list[tuple[float, str, str]] = []
        """Second, operation, and `answered`, `failed`, `wrong`, `dropped` or `repeated`."""
        self.latencies: list[tuple[float, str, float]] = []
        self.items: list[tuple[float, str, float]] = []
        self.lags: list[tuple[float, float]] = []
        self.errors: dict[str, int] = {}
        self.wrong = 0
        self.begun = 0
        self.began: float = math.inf
        """Unix time at which load began: k6 tells of clients before that, while it makes them."""
        self.ended: float = 0.0
        """Unix time of the last call's end."""
        if file.is_file():
            with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
                self._read(csv.DictReader(lines))
        if math.isinf(self.began) and self.calls:  # not one heartbeat: k6 was killed at once
            self.began = min(at for at, _, _ in self.calls)

    def _read(self, rows: Iterable[Mapping[str, str]]) -> None:
        for row in self._until_cut(rows):
            at, value = float(row["timestamp"]) / 1000, float(row["metric_value"])
            name, tags = row["metric_name"], _tags(row["extra_tags"])
            operation = tags.get("op", row["scenario"])
            if name in {"answered", "failed", "wrong", "repeated"}:
                self.calls.append((at, operation, name))
                self.ended = max(self.ended, at)
                self.wrong += name == "wrong"
                if name in {"failed", "wrong"}:
                    why = f"{operation}: {tags.get('why', name)}"
                    self.errors[why] = self.errors.get(why, 0) + 1
            elif name == "dropped_iterations":
                self.calls += [(at, operation, "dropped")] * round(value)
            elif name == "latency":
                self.latencies.append((at, operation, value))
            elif name == "messages":
                self.items.append((at, operation, value))
            elif name == "generator_lag":
                self.lags.append((at, value))
                # The first heartbeat begins with the load, and sleeps for so long.
                self.began = min(self.began, at - (HEARTBEAT_MS + value) / 1000)
            elif name == "begun":
                self.begun += 1

    @property
    def cut(self) -> int:
        """Calls that were still without an answer when k6 ended."""
        ended = sum(kind in {"answered", "failed", "wrong"} for _, _, kind in self.calls)
        return max(0, self.begun - ended)

    @staticmethod
    def _until_cut(rows: Iterable[Mapping[str, str]]) -> Iterable[Mapping[str, str]]:
        try:
            yield from rows
        except EOFError:  # k6 was killed: what it had written counts
            return

    def steps(self, begin: float, windows: Sequence[Window], names: Sequence[str]) -> list[Step]:
        """The figures of each window; `begin` is the Unix time of the run's second 0."""
        return [self._step(begin, window, names) for window in windows]

    def _step(self, begin: float, window: Window, names: Sequence[str]) -> Step:
        low, high = begin + window.begin, begin + window.end
        found = {name: Operation() for name in names}
        for at, name, kind in self.calls:
            if low <= at < high and name in found:
                setattr(found[name], kind, getattr(found[name], kind) + 1)
        times: dict[str, list[float]] = {name: [] for name in names}
        for at, name, value in self.latencies:
            if low <= at < high and name in times:
                times[name].append(value)
        for at, name, value in self.items:
            if low <= at < high and name in found:
                found[name].items += round(value)
        for name, one in found.items():
            one.per_second = one.answered / window.seconds
            one.items_per_second = one.items / window.seconds
            ordered = sorted(times[name])
            one.p50_ms, one.p95_ms, one.p99_ms = (
                percentile(ordered, share) for share in (50, 95, 99)
            )
            one.max_ms = ordered[-1] if ordered else None
        return Step(begin=window.begin, end=window.end, rate=window.rate, operations=found)

    def blocks(self, begin: float, windows: Sequence[Window]) -> dict[str, list[float]]:
        """Medians and P95 of blocks of the measured part, in order: see `Result.blocks`."""
        low, high = begin + windows[0].begin, begin + windows[-1].end
        count = max(1, int((high - low) / BLOCK_SECONDS))
        times: dict[str, list[list[float]]] = {}
        calls = [0] * count
        for at, name, value in self.latencies:
            place = int((at - low) / BLOCK_SECONDS)
            if low <= at and place < count:
                if name not in times:
                    times[name] = [[] for _ in range(count)]
                times[name][place].append(value)
                calls[place] += 1
        ordered = {name: [sorted(one) for one in each if one] for name, each in times.items()}
        found = {
            f"{name}{mark}": [float(percentile(one, share) or 0) for one in each]
            for name, each in ordered.items()
            for mark, share in (("", 50), (P95, 95))
        }
        return {**found, "calls/s": [one / BLOCK_SECONDS for one in calls]}


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of sorted values; None of none."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)]


def _tags(text: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in text.split("&") if part)


def commit() -> str:
    """Which sources were measured: as communication_load_metrics wants it."""
    todo = "run it in a clone"
    head = run.capture(["git", "rev-parse", "--short=12", "HEAD"], todo=todo, cwd=paths.ROOT)
    changed = run.capture(["git", "status", "--short"], todo=todo, cwd=paths.ROOT).stdout.strip()
    return head.stdout.strip() + ("-dirty" if changed else "")


def machine() -> str:
    """The machine that the generator runs on; of a local stack, everything."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.platform(terse=True)}"


def store(result: Result, target: Target) -> int:
    """Write the figures into communication_load_metrics, all or none; returns how many."""
    rows = [
        (
            result.run_id, result.name, name, json.dumps(labels), value, result.started_at,
            result.completed_at, result.machine, result.commit,
        )
        for name, labels, value in figures(result)
    ]  # fmt: skip
    with target.connect("ops") as connection, connection.transaction():
        connection.cursor().executemany(
            "INSERT INTO public.communication_load_metrics (run_id, scenario, metric_name,"
            " labels, metric_value, started_at, completed_at, machine, commit_id)"
            " VALUES (%s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s)",
            rows,
        )
    return len(rows)


def figures(result: Result) -> Iterator[tuple[str, dict[str, Any], float]]:
    """The run as rows: name, labels, value."""
    for number, step in enumerate(result.steps, 1):
        for operation, one in step.operations.items():
            labels = {"operation": operation, "step": number, "rate": step.rate}
            values = one.model_dump()
            yield from (
                (_column(name), labels, float(value))
                for name, value in values.items()
                if value is not None
            )
    yield "met", {}, float(result.met)
    yield "interrupted", {}, float(result.interrupted)
    if result.limit is not None:
        yield "limit_rate", {}, result.limit
    for name, given in result.generator.items():
        if given is not None:
            yield f"generator_{name}", {}, float(given)
    yield from _of_reference(result.reference)
    yield from _of_server(result.server)


def _of_reference(measured: Reference | None) -> Iterator[tuple[str, dict[str, Any], float]]:
    if measured is None:
        return
    yield "reference_clients", {}, float(measured.clients)
    for script, turns in {"mix": measured.mix, "plain": measured.plain}.items():
        for number, rate in enumerate(turns, 1):
            yield "reference_calls_per_second", {"script": script, "turn": number}, rate
    ratio = statistics.median(measured.mix) / statistics.median(measured.plain)
    yield "reference_ratio", {}, ratio


def _of_server(server: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], float]]:
    for name, value in server.items():
        if isinstance(value, (int, float)):
            yield name, {}, float(value)
    for column, what in {
        "cpu_cores": "cpu", "memory_bytes": "memory", "processes_mean": "processes",
    }.items():  # fmt: skip
        for component, value in server.get(what, {}).items():
            yield column, {"component": component}, float(value)
    for function, one in server.get("functions", {}).items():
        yield "function_calls", {"function": function}, float(one["calls"])
        yield "function_mean_ms", {"function": function}, float(one["ms"])
    for event, share in server.get("waits", {}).items():
        yield "wait_share", {"event": event}, share


def _column(name: str) -> str:
    return {"answered": "answered_calls", "failed": "failed_calls"}.get(name, name)


def new_id() -> str:
    """An id for a run."""
    return str(uuid.uuid4())


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


def describe_target(target: Target) -> dict[str, str]:
    """Versions of what is under load, and of the generator."""
    with target.connect("ops") as connection:
        version = str(db.one_value(connection, "SHOW server_version"))
    return {"postgresql": version.partition(" ")[0]}
