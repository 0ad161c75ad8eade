"""Whether a run shows what was demanded, and if not, why: by what was measured beside it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

from guestcomms.load.plan import Demand
from guestcomms.load.result import P95, Judged, Result, Step

LAG_SHARE = 0.25
"""The generator may wake up late by so much of the time that calls may take; later, the run
measures the generator."""
LAG_MS = 500.0
"""The same where nothing is demanded of calls."""
WAIT_SHARE = 0.5
"""An event that sessions wait for so much of their time is what slows them down."""
LAST_SECONDS = 2.0
"""So long before the end of the load the last answer may have come."""
SAMPLES_SHARE = 0.8
"""So many of the samples that were due have to be there: those of a machine under load come late,
but the few that a stalled one gives say nothing about the rest."""
UNNOTICED = {"memory": 16.0, "dead rows %": 20.0, "queue table MiB": 8.0}
"""What is smaller than that may grow: MiB of a component, MiB of the queue's table and indexes, and
the share of dead rows at which autovacuum begins (autovacuum_vacuum_scale_factor)."""
MEMORY = {"postgres": "PostgreSQL", "pgbouncer": "PgBouncer", "haproxy": "HAProxy"}
POOL_BUSY = 0.9
IDLE_SHARE = 0.15
"""A machine that idles so much has CPU to spare."""


def judge(result: Result) -> list[Judged]:
    """One line for each demand, and those that every run has to meet."""
    demand = result.scenario.demand
    lines = [*_always(result)]
    if demand.limit is not None:
        lines.append(_at_least("highest rate that held", result.limit, demand.limit))
    else:
        for number, step in enumerate(result.steps, 1):
            place = f", step {number}" if len(result.steps) > 1 else ""
            lines += [*_step(step, demand, place, result.generator_rates)]
        # What is demanded of a step is how a run without a limit ends.
        rates = result.generator_rates
        lines += [*_step(result.steps[-1], result.scenario.step, ", last step", rates)]
    return [*lines, *_server(result, demand)]


def held(step: Step, demand: Demand) -> bool:
    """Whether a step of a run that raises its rate held."""
    return all(one.met for one in _step(step, demand, "", {})) and step.wrong == 0


def limit(result: Result) -> float:
    """The rate of the last step before the first that did not hold; 0 if none did."""
    best = 0.0
    for step in result.steps:
        if not held(step, result.scenario.step):
            break
        best = step.rate
    return best


def causes(result: Result) -> list[str]:
    """Why demands were missed, what spoils the measurement first; nothing if none was."""
    if result.met:
        return []
    return [*_wrong(result, result.wrong)] or [*_generator(result), *_saturated(result)]


def saturated(result: Result) -> list[str]:
    """What is used up first, whether or not the run met its demands."""
    return _saturated(result)


def _always(result: Result) -> Iterator[Judged]:
    wrong = result.wrong
    answered = {
        name: sum(step.operations[name].answered for step in result.steps)
        for name in result.steps[0].operations
    }
    silent = [name for name, count in answered.items() if count == 0]
    said = f"none to {', '.join(silent)}" if silent else f"{sum(answered.values()):,}"
    yield Judged(what="right answers", demanded="to every operation", measured=said, met=not silent)
    yield Judged(what="wrong answers", demanded="0", measured=f"{wrong}", met=wrong == 0)
    late, most = result.generator.get("lag_p95_ms"), lag_limit(result)
    yield _at_most("generator late, P95 ms", late, most)
    # A generator that was killed has measured only what went well until then.
    yield _at_most("exit code of k6", result.generator.get("exit_code"), 0)
    end = result.steps[-1].end - LAST_SECONDS
    yield _at_least("answers until second", result.generator.get("last_answer_s"), end, "{:.0f}")
    if result.scenario.demand.success is not None:
        yield _at_most("calls cut off at the end", result.generator.get("cut_off"), 0)
    if result.interrupted:
        yield Judged(what="the whole run", demanded="yes", measured="interrupted", met=False)


def lag_limit(result: Result) -> float:
    """How late the generator may be, in milliseconds."""
    allowed = result.scenario.demand.p99_ms or result.scenario.step.p99_ms
    return LAG_SHARE * allowed if allowed else LAG_MS


def _step(step: Step, demand: Demand, place: str, promised: dict[str, float]) -> Iterator[Judged]:
    if demand.success is not None:
        yield _at_least(f"success{place}", step.success, demand.success, "{:.2%}")
    if demand.p99_ms is not None:
        for name, one in step.operations.items():
            yield _at_most(f"{name}, P99 ms{place}", one.p99_ms, demand.p99_ms, "{:,.0f}")
    if demand.dropped is not None:
        yield _at_most(f"calls dropped{place}", step.dropped, demand.dropped)
    if demand.rate is not None:
        for name, one in step.operations.items():
            # What is still under way at the end of the window is answered after it.
            wanted = promised[name] * step.rate * demand.rate - 2 / (step.end - step.begin)
            yield _at_least(f"{name}, right answers/s{place}", one.per_second, wanted, "{:,.2f}")


def _server(result: Result, demand: Demand) -> Iterator[Judged]:
    seen = result.server
    asked = (demand.clients, demand.cache_hit, demand.pool_use, demand.growth)
    if any(one is not None for one in asked):
        yield _samples(seen)
    if demand.clients is not None:
        shown = seen.get("pool_clients_min")
        yield _at_least("clients that PgBouncer shows throughout", shown, demand.clients)
    if demand.cache_hit is not None:
        yield _at_least("cache hits", seen.get("cache_hit"), demand.cache_hit, "{:.2%}")
    if demand.pool_use is not None:
        yield _at_most("pool used, mean", seen.get("pool_use"), demand.pool_use, "{:.0%}")
    if demand.growth is not None:
        for name, value in grown(result).items():
            yield _at_most(f"{name}, last third by first", value, demand.growth, "{:.2f}")
        yield _at_most("messages queued, last third less first", _piled_up(result), 0, "{:,.0f}")


def _samples(seen: dict[str, Any]) -> Judged:
    """Whether pooler and database could be asked throughout."""
    what = "samples of pooler and database"
    if "samples_expected" not in seen:
        return _at_least(what, None, 1)
    told = min(seen["pool_samples"], seen["database_samples"])
    return _at_least(what, told, max(1, math.floor(SAMPLES_SHARE * seen["samples_expected"])))


def grown(result: Result) -> dict[str, float | None]:
    """Latency, memory and bloat at the end of a long run by those at its beginning."""
    found: dict[str, float | None] = {
        f"{name} ms" if name.endswith(P95) else f"{name}, median ms": _growth([values])
        for name, values in result.blocks.items()
        if name != "calls/s"
    }
    # Without a proxy among the machines there is no memory of it.
    parts = [one for one in MEMORY if one != "haproxy" or one in result.server.get("cpu", {})]
    for part in parts:
        of_machines = [
            _values(result, name) for name in result.series if name.startswith(f"memory {part} ")
        ]
        found[f"memory of {MEMORY[part]}"] = _growth(of_machines, UNNOTICED["memory"])
    for name, what in {
        "bytes a row": "size of tables by live rows",
        "dead rows %": "dead rows",
        "queue table MiB": "size of the queue's table",
    }.items():
        found[what] = _growth([_values(result, name)], UNNOTICED.get(name, 0.0))
    return found


def _piled_up(result: Result) -> float | None:
    """Messages that wait at the end more than at the beginning: more came in than went out.

    A run that sends begins with all it is going to send in the queue, so that a queue which still
    drains, but more slowly than it is filled, would be large in either third.
    """
    thirds = _thirds(_values(result, "queue messages"))
    return thirds[1] - thirds[0] if thirds else None


def _values(result: Result, name: str) -> list[float]:
    """A series in the measured part."""
    low, high = result.steps[0].begin, result.steps[-1].end
    points = result.series.get(name, [])
    return [value for at, value in points if value is not None and low <= at <= high]


def _growth(each: list[list[float]], unnoticed: float = 0.0) -> float | None:
    """The sum of what several have in the last third by that in the first, as medians."""
    thirds = [_thirds(values) for values in each]
    known = [one for one in thirds if one is not None]
    if not known or len(known) < len(each):
        return None
    first, last = (sum(one[place] for one in known) for place in (0, 1))
    return max(last, unnoticed) / max(first, unnoticed, 1e-9)


def _thirds(values: list[float]) -> tuple[float, float] | None:
    """The medians of the first and the last third."""
    third = len(values) // 3
    if not third:
        return None
    return statistics.median(values[:third]), statistics.median(values[-third:])


def _wrong(result: Result, wrong: int) -> Iterator[str]:
    mixed = {
        text: count
        for text, count in result.errors.items()
        if ": answer to " in text or "another's" in text or "unnamed prepared" in text
        or "bind message supplies" in text
    }  # fmt: skip
    if mixed:
        example = max(mixed, key=lambda text: mixed[text])
        yield (
            f"answers swapped between clients: {sum(mixed.values())} calls got what belongs to"
            f" another ({example!r}); look at how driver and pooler prepare statements"
        )
    elif wrong:
        example = max(result.errors, key=lambda text: result.errors[text])
        yield f"wrong answers: {wrong}, mostly {example!r}"


def _generator(result: Result) -> Iterator[str]:
    late, most = result.generator.get("lag_p95_ms"), lag_limit(result)
    if late is not None and late > most:
        yield (
            f"generator short of CPU: k6 woke up {late:.0f} ms late (P95; {most:.0f} ms are"
            " allowed), so it measured itself; give it a machine of its own or more cores"
        )


def _saturated(result: Result) -> list[str]:
    if result.limit and result.limit >= result.steps[-1].rate:
        return [f"nothing: it held at every rate up to {result.limit:g}; raise them"]
    seen = result.broken or result.server
    if not seen.get("samples"):
        return ["unknown: no machine could be watched"]
    found = [*_pool(seen), *_cpu(result, seen), *_waits(seen), *_locks(seen)]
    return found or ["nothing that is measured was used up; see the errors and the report's charts"]


def _waits(seen: dict[str, Any]) -> Iterator[str]:
    top = _longest_wait(seen.get("waits", {}))
    if top is None:
        return
    name, share = top
    function, each = _slowest(seen.get("functions", {}))
    slow = f"; most of the time is spent in {function}(), {each:.1f} ms a call" if function else ""
    yield f"sessions wait for {name} {share:.0%} of their time{slow}"


def _pool(seen: dict[str, Any]) -> Iterator[str]:
    idle, size = seen.get("machine_idle", 0.0), seen.get("pool_size", 0)
    waiting = seen.get("pool_waiting_mean", 0.0)
    busy = seen.get("pool_use", 0.0) >= POOL_BUSY and waiting >= 1
    if busy and (size <= seen.get("machine_cores", 1) or idle >= IDLE_SHARE):
        yield (
            f"pool too small: its {size} connections are busy {seen['pool_use']:.0%} of the time"
            f" and {waiting:.0f} clients wait, while the machine idles {idle:.0%}"
        )


def _locks(seen: dict[str, Any]) -> Iterator[str]:
    if seen.get("locks_waiting_mean", 0) >= 1:
        yield f"locks: {seen['locks_waiting_mean']:.1f} sessions wait for one on average"


def _cpu(result: Result, seen: dict[str, Any]) -> Iterator[str]:
    idle = seen.get("machine_idle", 0.0)
    cpu = {name: cores for name, cores in seen.get("cpu", {}).items() if "/" not in name}
    if idle < IDLE_SHARE and cpu:
        used = sorted(cpu.items(), key=lambda item: -item[1])[:4]
        parts = ", ".join(f"{name} {cores:.2f}" for name, cores in used)
        yield (
            f"CPU: the machine idles {idle:.0%} of {seen.get('machine_cores', 0):.0f} cores; used"
            f" by {parts}, the generator {result.generator.get('cpu_cores') or 0:.2f} cores"
        )


def _longest_wait(waits: dict[str, float]) -> tuple[str, float] | None:
    """An event of the server that sessions mostly wait for; clients that think do not count."""
    own = {name: share for name, share in waits.items() if not name.startswith("Client/")}
    total = sum(own.values())
    if not total:
        return None
    name = max(own, key=lambda one: own[one])
    share = own[name] / total
    return (name, share) if name != "CPU" and share >= WAIT_SHARE else None


def _slowest(functions: dict[str, Any]) -> tuple[str, float]:
    if not functions:
        return "", 0.0
    name = max(functions, key=lambda one: functions[one]["calls"] * functions[one]["ms"])
    return name, functions[name]["ms"]


def _at_least(what: str, value: float | None, bound: float, form: str = "{:g}") -> Judged:
    met = value is not None and value >= bound
    return Judged(
        what=what, demanded=f"≥ {form.format(bound)}", measured=_text(value, form), met=met
    )


def _at_most(what: str, value: float | None, bound: float, form: str = "{:g}") -> Judged:
    met = value is not None and value <= bound
    return Judged(
        what=what, demanded=f"≤ {form.format(bound)}", measured=_text(value, form), met=met
    )


def _text(value: float | None, form: str) -> str:
    return "nothing" if value is None else form.format(value)
