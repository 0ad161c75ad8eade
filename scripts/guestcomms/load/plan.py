"""Scenarios: loadtest/scenarios/scenarios.toml as a typed model, and k6's options made of it."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from guestcomms import paths
from guestcomms.errors import UsageError

FOLDER = paths.ROOT / "loadtest" / "scenarios"
SCRIPT = FOLDER / "mix.js"
FILE = FOLDER / "scenarios.toml"
CLOSED_CALLS_PER_SECOND = 2500
"""More than one primary answers here: how many bulk_send slices a closed run may use up."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Shape(_Part):
    """How load comes and goes; times in seconds, steps are [seconds, multiple of the rates]."""

    ramp: float = 0
    hold: float = 0
    warm_up: float = 0
    steps: tuple[tuple[float, float], ...] = ()


class Demand(_Part):
    """What a run or a step of it has to show; what is None is not asked for."""

    success: float | None = None
    p99_ms: float | None = None
    clients: int | None = None
    dropped: int | None = None
    rate: float | None = None
    cache_hit: float | None = None
    pool_use: float | None = None
    growth: float | None = None
    limit: float | None = None


class Scenario(_Part):
    """One thing that can be done to the system."""

    about: str
    model: Literal["closed", "open"]
    clients: Annotated[int, Field(ge=1, le=20000)] = 1
    shape: Shape
    demand: Demand
    step: Demand = Demand()
    rate: Annotated[float, Field(gt=0)] = 1
    """Multiple of the rates per minute."""
    repeats: Annotated[int, Field(ge=0)] = 0
    """How often a call without an answer is made again; what was answered is written down then."""


class Catalogue(_Part):
    """All scenarios with what they have in common."""

    tenants: tuple[int, ...]
    weights: Mapping[str, int]
    sizes: Mapping[str, int]
    per_minute: Mapping[str, int]
    scenarios: Mapping[str, Scenario]
    verify: Mapping[str, tuple[str, ...]]

    def scenario(self, name: str) -> Scenario:
        """A scenario by name. Raises `UsageError`, which names those there are."""
        if name not in self.scenarios:
            raise UsageError(
                f"There is no scenario {name!r}; choose one of: {', '.join(self.scenarios)}."
            )
        return self.scenarios[name]


@dataclass(frozen=True)
class Window:
    """A part of the run by the clock of its begin: seconds, and the multiple of the rates."""

    begin: float
    end: float
    rate: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.begin


def catalogue(file: Path = FILE) -> Catalogue:
    """The scenarios that there are."""
    return Catalogue.model_validate(tomllib.loads(file.read_text("utf-8")))


def scaled(
    scenario: Scenario,
    *,
    clients: int | None = None,
    seconds: float | None = None,
    rate: float | None = None,
) -> Scenario:
    """The same scenario, smaller or larger.

    Parameters: `clients` held by a closed one (which is then demanded), `seconds` of the whole run
    in proportion, `rate` as multiple of the promised rates.
    """
    shape = scenario.shape
    whole = shape.ramp + shape.hold + shape.warm_up + sum(length for length, _ in shape.steps)
    factor = seconds / whole if seconds else 1.0
    demand = scenario.demand
    if clients is not None and demand.clients is not None:
        demand = demand.model_copy(update={"clients": clients})
    return scenario.model_copy(
        update={
            "clients": clients or scenario.clients,
            "rate": rate or scenario.rate,
            "demand": demand,
            "shape": Shape(
                ramp=shape.ramp * factor,
                hold=shape.hold * factor,
                warm_up=shape.warm_up * factor,
                steps=tuple((length * factor, multiple) for length, multiple in shape.steps),
            ),
        }
    )


def windows(scenario: Scenario) -> list[Window]:
    """The measured parts: the hold of a closed scenario, each step of an open one."""
    shape = scenario.shape
    if scenario.model == "closed":
        # The last client has begun when the ramp ends; it may still be connecting.
        begin = shape.ramp + shape.warm_up
        return [Window(begin, begin + shape.hold, scenario.rate)]
    found, begin = [], shape.warm_up
    for length, multiple in shape.steps:
        found.append(Window(begin, begin + length, multiple * scenario.rate))
        begin += length
    return found


def duration(scenario: Scenario) -> float:
    """How long load is applied, in seconds."""
    return windows(scenario)[-1].end


def operations(scenario: Scenario, found: Catalogue) -> tuple[str, ...]:
    """What is called, in the order of the file."""
    return tuple(found.weights if scenario.model == "closed" else found.per_minute)


def mix(found: Catalogue) -> tuple[list[tuple[str, int]], Mapping[str, int]]:
    """The order of operations of a closed run, which repeats; and how many of each that has.

    An entry is an operation and its place among its kind, so that every call has a number.
    """
    drawn = [name for name, weight in found.weights.items() for _ in range(weight)]
    random.Random(7).shuffle(drawn)  # noqa: S311 - the same order in every run
    seen: dict[str, int] = {}
    order = []
    for name in drawn:
        order.append((name, seen.get(name, 0)))
        seen[name] = seen.get(name, 0) + 1
    return order, seen


def needed(scenario: Scenario, found: Catalogue) -> dict[str, int]:
    """How much fresh data a run may use up: slices for bulk_send, queued messages for send."""
    if scenario.model == "closed":
        share = found.weights["bulk_send"] / sum(found.weights.values())
        calls = CLOSED_CALLS_PER_SECOND * min(1.0, scenario.clients / 20)
        return {"slices": round(share * calls * duration(scenario)) + 10, "messages": 0}
    # Warm-up goes at the rate of the first step.
    parts = windows(scenario)
    minutes = (parts[0].begin * parts[0].rate + sum(p.seconds * p.rate for p in parts)) / 60
    return {
        "slices": round(minutes * found.per_minute["bulk_send"]) + 10,
        "messages": round((minutes * found.per_minute["send"] + 10) * found.sizes["send"]),
    }


def k6_options(scenario: Scenario, found: Catalogue) -> dict[str, Any]:
    """The options of k6: scenarios, and thresholds that fail without samples."""
    names = operations(scenario, found)
    if scenario.model == "closed":
        shape = scenario.shape
        stages = [
            {"duration": _time(shape.ramp), "target": scenario.clients},
            {"duration": _time(shape.warm_up + shape.hold), "target": scenario.clients},
        ]
        scenarios: dict[str, Any] = {
            "mix": {
                "executor": "ramping-vus", "exec": "mix", "startVUs": 0, "stages": stages,
                "gracefulRampDown": "10s", "gracefulStop": "10s",
            }
        }  # fmt: skip
    else:
        scenarios = {name: _arrivals(scenario, found.per_minute[name]) for name in names}
    scenarios["heartbeat"] = {
        "executor": "constant-vus", "exec": "heartbeat", "vus": 1,
        "duration": _time(duration(scenario)), "gracefulStop": "1s",
    }  # fmt: skip
    # A threshold passes when it has no samples, so answers are counted.
    answers = {f"answered{{op:{name}}}": ["count>=1"] for name in names}
    return {
        "scenarios": scenarios,
        "systemTags": ["scenario"],
        "thresholds": {**answers, "wrong": ["count==0"], "generator_lag": ["max>=0"]},
        "setupTimeout": "60s",
    }


def _arrivals(scenario: Scenario, per_minute: int) -> dict[str, Any]:
    """Arrivals of one operation on a clock: steps, not slopes, after the warm-up."""
    parts = windows(scenario)
    targets = [(parts[0].begin, parts[0].rate), *((part.seconds, part.rate) for part in parts)]
    stages = []
    for length, rate in targets:
        target = max(1, round(per_minute * rate))
        stages += [
            {"duration": "0s", "target": target},
            {"duration": _time(length), "target": target},
        ]
    second = per_minute / 60
    most = max(rate for _, rate in targets)
    return {
        "executor": "ramping-arrival-rate", "exec": "one", "timeUnit": "1m",
        "startRate": max(1, round(per_minute * targets[0][1])), "stages": stages,
        # Little: calls in flight are the rate times the time each takes, half a second at most. A
        # client made in a stall comes late and lengthens it; so does a crowd of clients.
        "preAllocatedVUs": round(10 + second * most / 2),
        "maxVUs": round(10 + second * most),
        "gracefulStop": "10s",
    }  # fmt: skip


def _time(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
