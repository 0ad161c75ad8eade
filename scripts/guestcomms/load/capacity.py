"""docs/capacity.md: what larger volumes need, calculated from measured cost, inputs shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from guestcomms import paths
from guestcomms.errors import RefusedError
from guestcomms.load import plan, verdict
from guestcomms.load.result import Result

FILE = paths.ROOT / "docs" / "capacity.md"
MULTIPLES = (1, 10, 100, 1000)
UTILISATION = 0.6
"""Share of a machine's cores that is planned for: the rest is for peaks, vacuum and backups."""
LARGEST_CORES = 96
"""Cores of the largest machine that is planned for one primary."""
HOURS_A_DAY = 8
"""The promised rates are peaks; so many hours of them are counted for storage."""
DAYS = 30
SUCCESS = 0.999
DONE = 0.99
"""Share of the calls of the clock that have to be answered: the cost is divided by those."""
READING = ("render_template", "list_recipients", "communication_progress")
"""API functions that write nothing, so that a standby can answer them."""
CALLED = ("bulk_send", "record_delivery_events", "claim_batches", "complete_batch", *READING)
"""API functions that the scenarios call; others run inside of them, in their time."""
LARGEST = (0.01, 0.05, 0.25)
"""Shares of all calls that one organization might have."""


def figures(rates: Result, limit: Result) -> dict[str, Any]:
    """Inputs and calculated sizes.

    Raises `RefusedError` if the runs do not tell what is needed, or if the first did not do the
    work that it is divided by.
    """
    undone = _undone(rates)
    if undone:
        raise RefusedError(
            f"{rates.file.stem} did not do the work that its cost is divided by:"
            f" {'; '.join(undone)}; take a run at a rate that holds (`--rate 0.4`)."
        )
    needed = {"leader", "wal_bytes_per_second", "growth_bytes_per_second", "pool_active_mean"}
    machine = rates.server.get("leader")
    known = {*rates.server, *rates.server.get("cpu", {})}
    needed |= {f"{machine}/{component}" for component in ("postgres", "pgbouncer")}
    if limit.limit is None or not needed <= known:
        raise RefusedError(
            f"{rates.name} and {limit.name} do not hold cores, WAL and a limit: take a run of"
            " sustained-rates and one of break-point on a cluster."
        )
    inputs = _inputs(rates, limit)
    return {
        "inputs": inputs,
        "sizes": [_size(inputs, one) for one in MULTIPLES],
        "one_primary": one_primary(inputs),
        "largest": {str(share): one_primary(inputs) / share for share in LARGEST},
    }


def _undone(rates: Result) -> list[str]:
    """What was asked for and not done."""
    step = rates.steps[0]
    found = ["it was interrupted"] if rates.interrupted else []
    if (step.success or 0) < SUCCESS:
        found.append(f"success {step.success or 0:.2%}")
    if step.dropped:
        found.append(f"{step.dropped} calls dropped")
    for name, one in step.operations.items():
        wanted = rates.generator_rates.get(name, 0) * step.rate
        # What is under way at the end of the window is answered after it.
        if one.per_second < DONE * wanted - 2 / (step.end - step.begin):
            found.append(f"{name} {one.per_second:.2f} of {wanted:.2f} calls/s")
    return found


def _inputs(rates: Result, limit: Result) -> dict[str, Any]:
    """What was measured; costs are of rate 1."""
    seen, step = rates.server, rates.steps[0]
    leader, rate, seconds = seen["leader"], step.rate, step.end - step.begin
    cpu, memory = seen.get("cpu", {}), seen.get("memory", {})
    processes = seen.get("processes", {})
    others = [cores for name, cores in _of(cpu, "postgres").items() if name != leader]
    postgres = f"{leader}/postgres"
    called = {
        name: {"per_second": one["calls"] / seconds / rate, "ms": one["ms"]}
        for name, one in seen.get("functions", {}).items()
        if name in CALLED
    }
    spent = {name: one["per_second"] * one["ms"] for name, one in called.items()}
    reading = sum(value for name, value in spent.items() if name in READING)
    return {
        "rates_run": rates.file.stem, "limit_run": limit.file.stem, "machine": rates.machine,
        "commit": rates.commit, "rate": rate,
        "leader_cores": {
            "postgres": cpu[postgres] / rate,
            "pgbouncer": cpu[f"{leader}/pgbouncer"] / rate,
        },
        "standby_cores": max(others, default=0) / rate,
        "proxy_cores": sum(_of(cpu, "haproxy").values()) / rate,
        "calls_per_second": sum(one["per_second"] for one in called.values()),
        "connections": seen["pool_active_mean"] / rate,
        "bytes_per_process": _by(memory.get(postgres), processes.get(postgres)),
        "bytes_per_client": {
            "PgBouncer": _by(memory.get(f"{leader}/pgbouncer"), seen.get("pool_all_clients_mean")),
            "HAProxy": _by(memory.get("haproxy"), seen.get("pool_all_clients_mean")),
        },
        "wal_bytes_per_second": seen["wal_bytes_per_second"] / rate,
        "growth_bytes_per_second": seen["growth_bytes_per_second"] / rate,
        "io_per_second": {
            name: seen[f"io_{name}_per_second"] / rate
            for name in ("reads", "writes", "fsyncs")
            if f"io_{name}_per_second" in seen
        },
        "functions": called,
        "reading_share": reading / sum(spent.values()) if spent else None,
        "limit": limit.limit, "saturated": verdict.saturated(limit),
        "tenants_share": _largest_tenant(),
    }  # fmt: skip


def _of(figures: Mapping[str, float], component: str) -> dict[str, float]:
    """By machine."""
    end = f"/{component}"
    return {name.removesuffix(end): value for name, value in figures.items() if name.endswith(end)}


def _by(value: float | None, number: float | None) -> float | None:
    return value / number if value and number else None


def _largest_tenant() -> float:
    """Share of calls that the largest tenant of a load run has: calls go with guests."""
    tenants = plan.catalogue().tenants
    return max(tenants) / sum(tenants)


def one_primary(inputs: Mapping[str, Any]) -> float:
    """Up to which multiple of the promised rates one primary of the largest size is planned."""
    cores: dict[str, float] = inputs["leader_cores"]
    return LARGEST_CORES * UTILISATION / sum(cores.values())


def _size(inputs: Mapping[str, Any], multiple: int) -> dict[str, float | None]:
    needed = sum(inputs["leader_cores"].values()) * multiple / UTILISATION
    primaries = max(1, math.ceil(needed / LARGEST_CORES))
    connections = math.ceil(inputs["connections"] * multiple / UTILISATION)
    each, io = inputs["bytes_per_process"], inputs["io_per_second"]
    share = inputs["reading_share"]
    day = 3600 * HOURS_A_DAY * multiple
    return {
        "multiple": multiple,
        "cores": needed,
        "primaries": primaries,
        "cores_each": math.ceil(needed / primaries),
        "standby_cores": inputs["standby_cores"] * multiple / UTILISATION,
        "proxy_cores": inputs["proxy_cores"] * multiple / UTILISATION,
        "replica_cores": None
        if share is None
        else share * inputs["leader_cores"]["postgres"] * multiple / UTILISATION,
        "connections": connections,
        "connections_gib": each * connections / 2**30 if each else None,
        "blocks_per_second": (io["reads"] + io["writes"]) * multiple if len(io) == 3 else None,
        "fsyncs_per_second": io["fsyncs"] * multiple if len(io) == 3 else None,
        "wal_gib_a_day": inputs["wal_bytes_per_second"] * day / 2**30,
        "storage_gib": inputs["growth_bytes_per_second"] * day * DAYS / 2**30,
        "replication_mbit": inputs["wal_bytes_per_second"] * multiple * 8 / 1e6,
        "calls_per_second": inputs["calls_per_second"] * multiple,
        "largest_share": min(1.0, one_primary(inputs) / multiple),
    }


def write(found: dict[str, Any], file: Path = FILE) -> Path:
    """Write the page and return its path."""
    file.write_text(page(found), "utf-8")
    return file


def page(found: dict[str, Any]) -> str:
    """The page as Markdown."""
    given = found["inputs"]
    own = "" if given["rate"] == 1 else f" --rate {given['rate']:g}"
    parts = [
        f"""\
# Capacity

GENERATED by `.venv/bin/guestcomms load capacity` from the runs {given["rates_run"]} and
{given["limit_run"]} (`.venv/bin/guestcomms load run sustained-rates{own}`, the same with
`break-point`; commit {given["commit"]}, {given["machine"]}, all machines of the cluster and the
generator together on it). A run that dropped calls or left them unanswered is refused here.
""",
        _measured(given),
        _calculated(found["sizes"]),
        _replicas(given),
        _distributed(found),
    ]
    return "\n".join(parts)


def _measured(given: Mapping[str, Any]) -> str:
    functions = _rows(
        (name, f"{one['per_second']:,.2f}", f"{one['ms']:.2f}")
        for name, one in given["functions"].items()
    )
    leader = given["leader_cores"]
    return f"""\
## Measured

At {given["rate"]:g} times the promised rates; here by that rate, so at rate 1:

| function | calls/s | mean time in the database, ms |
|---|---|---|
{functions}

| what | at rate 1 |
|---|---|
| the leader's machine: cores of PostgreSQL | {leader["postgres"]:.2f} |
| the leader's machine: cores of PgBouncer | {leader["pgbouncer"]:.2f} |
| the busiest standby's machine: cores of PostgreSQL | {given["standby_cores"]:.2f} |
| all proxies: cores of HAProxy | {given["proxy_cores"]:.2f} |
| busy server connections of the pool | {given["connections"]:.2f} |
| WAL | {given["wal_bytes_per_second"] / 1e6:.2f} MB/s |
| growth of the database | {given["growth_bytes_per_second"] / 1e6:.2f} MB/s |
| blocks of 8 KiB that PostgreSQL read, wrote | {_io(given, "reads")}/s, {_io(given, "writes")}/s |
| calls of fsync | {_io(given, "fsyncs")}/s |

- Memory of its own: {_kib(given["bytes_per_process"])} for each process of PostgreSQL;
  {_kib(given["bytes_per_client"]["PgBouncer"])} for each client in PgBouncer,
  {_kib(given["bytes_per_client"]["HAProxy"])} in HAProxy.
- The highest multiple of the promised rates that held: {given["limit"]:g}. Used up first:
  {"; ".join(given["saturated"])}.
"""


def _calculated(sizes: list[dict[str, Any]]) -> str:
    machines = _rows(
        (
            f"{one['multiple']}x", f"{one['cores']:,.1f}",
            f"{one['primaries']} x {one['cores_each']}", f"{one['standby_cores']:,.1f}",
            f"{one['proxy_cores']:,.1f}", f"{one['connections']:,}",
            _number(one["connections_gib"], ".1f"),
        )
        for one in sizes
    )  # fmt: skip
    storage = _rows(
        (
            f"{one['multiple']}x", f"{one['wal_gib_a_day']:,.0f}", f"{one['storage_gib']:,.0f}",
            f"{one['replication_mbit']:,.0f}", _number(one["blocks_per_second"], ".0f"),
            _number(one["fsyncs_per_second"], ".0f"),
        )
        for one in sizes
    )  # fmt: skip
    return f"""\
## Calculated

Cost is taken to grow in proportion to the rates; nothing was measured beyond the limit above. That
a call costs the same in a larger database is what [benchmark L8](benchmarks.md#l8_scale) measures:
where it says *missed*, calls get dearer with each tenfold, and what stands here is too small by
that ratio. Cores are planned to be {UTILISATION:.0%} busy, a primary to have {LARGEST_CORES} cores
at most, the rates to last {HOURS_A_DAY} hours a day, rows to be kept for {DAYS} days.

| volume | cores of leaders | primaries x cores | cores of each set of standbys | cores of proxies \
| busy connections | their memory, GiB |
|---|---|---|---|---|---|---|
{machines}

| volume | WAL GiB/day | storage GiB | replication Mbit/s | blocks/s | fsync/s |
|---|---|---|---|---|---|
{storage}

- **Leaders** have PgBouncer beside PostgreSQL: both are in the column. **Standbys**: so many cores
  replay, in each copy; to take over, a standby's machine has to be a leader's.
- **Connections**: what a pool needs is busy connections, not clients; PostgreSQL's processes cost
  memory, so `pool_size` follows this column and clients wait in PgBouncer.
- **Disks**: blocks are what PostgreSQL asks of the kernel, which joins neighbours and keeps what is
  read again: an upper bound of the disk's operations. Calls of fsync are those of WAL and
  of checkpoints.
- Replication is that to each standby. WAL is of a minute without a checkpoint: behind one it is
  several times as much until each page in use was written whole ([performance](performance.md)).
"""


def _replicas(given: Mapping[str, Any]) -> str:
    share = given["reading_share"]
    if share is None:
        return "## Read replicas\n\nNo time in functions was measured: nothing can be said.\n"
    spent = {name: one["per_second"] * one["ms"] for name, one in given["functions"].items()}
    rows = _rows(
        (
            name,
            f"{value / 1000:.3f}",
            f"{value / sum(spent.values()):.0%}",
            "yes" if name in READING else "no, it writes",
        )
        for name, value in spent.items()
    )
    cores = given["leader_cores"]["postgres"]
    return f"""\
## Read replicas

| function | seconds in it a second, at rate 1 | share | a replica can answer |
|---|---|---|---|
{rows}

Functions that write nothing have {share:.0%} of the time, so read replicas
(`.venv/bin/guestcomms dsn --read-only`) take off at most {share:.0%} of the {cores:.2f} cores of
PostgreSQL on the leader: {share * cores:.2f} at rate 1, that times the volume above. It is an upper
bound, because commits, WAL and vacuum are in no function's time and stay. Pages of recipients and
progress, which the promised rates do not contain, can go there whole.
"""


def _distributed(found: Mapping[str, Any]) -> str:
    given = found["inputs"]
    shares = {**found["largest"], str(given["tenants_share"]): None}
    rows = _rows(
        (
            f"{float(share):.0%}" + (" (as in the load runs)" if alone is None else ""),
            f"{found['one_primary'] / float(share):,.0f}x",
        )
        for share, alone in shares.items()
    )
    primaries = _rows(
        (
            f"{one['multiple']}x", one["primaries"], f"{one['calls_per_second']:,.0f}",
            f"{one['largest_share']:.1%}",
        )
        for one in found["sizes"]
    )  # fmt: skip
    calls = given["calls_per_second"]
    pooler = given["leader_cores"]["pgbouncer"]
    return f"""\
## Past one primary

One primary ends at {found["one_primary"]:,.0f} times the promised rates: {LARGEST_CORES} cores x
{UTILISATION:.0%} / {sum(given["leader_cores"].values()):.2f} cores at rate 1. Beyond that
organizations are distributed: every API function has the organization as its first argument, so
[PL/Proxy](https://plproxy.github.io/) can route calls by `hashtext(p_organization_id)` to several
such clusters; where a provider offers Citus, the same column distributes tables. Workers run beside
each primary.

A single organization stays on one primary, and its own peak has to fit there:

| volume | primaries | calls/s through a router | an organization may have at most |
|---|---|---|---|
{primaries}

| share of the largest organization | it alone fills a primary at |
|---|---|
{rows}

- **A router** was not measured. It passes on every call, as PgBouncer does with {pooler:.2f} cores
  for {calls:,.0f} calls/s here ({_micro(pooler, calls)} a call), and runs a
  function of its own for it besides: count with more, and measure it before it is chosen.
- With fewer, larger organizations than that, distribute by hand: a table of organization and
  cluster in place of the hash.
"""


def _rows(rows: Any) -> str:
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def _io(given: Mapping[str, Any], name: str) -> str:
    return _number(given["io_per_second"].get(name), ".0f")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:,{form}}"


def _kib(value: float | None) -> str:
    return "(not measured)" if value is None else f"{value / 1024:,.0f} KiB"


def _micro(cores: float, calls: float) -> str:
    return f"{cores / max(calls, 1e-9) * 1e6:,.0f} µs"
