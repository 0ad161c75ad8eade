"""A run as an HTML page for people."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from guestcomms.load import verdict
from guestcomms.load.charts import Points, chart
from guestcomms.load.result import Result

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ddd;
text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}.good{color:#187a2f}
.bad{color:#b3261e;font-weight:bold}figure{margin:2em 0}figcaption{font-weight:bold}
svg{width:100%;height:auto}svg text{font-size:11px;fill:#666}.legend span{margin-right:1.2em}
.legend i{display:inline-block;width:2em;margin:0 .3em .2em 0}
"""
CHARTS = (
    ("Right answers", "calls/s", "calls/s "),
    ("P99 of latency", "ms", "p99 ms "),
    ("Clients of PgBouncer", "clients", "pool clients"),
    ("Clients that wait for a connection", "clients", "pool waiting"),
    ("Connections of PgBouncer at work", "connections", "pool active"),
    ("CPU", "cores", "cpu "),
    ("WAL written", "MiB/s", "wal MiB/s"),
    ("Replication lag", "MiB", "replication lag MiB"),
    ("Locks waited for", "sessions", "locks waiting"),
    ("Queue", "messages", "queue messages"),
    ("Table and indexes of the queue", "MiB", "queue table MiB"),
    ("Dead rows by live rows", "%", "dead rows %"),
    ("Size of tables by live rows", "bytes", "bytes a row"),
    ("Memory of their own", "MiB", "memory "),
)


def write(result: Result, file: Path) -> Path:
    """Write the page and return its path."""
    file.write_text(page(result), "utf-8")
    return file


def page(result: Result) -> str:
    """The whole page."""
    good = "good" if result.met else "bad"
    said = "meets all demands" if result.met else "misses demands"
    facts = {
        "Scenario": f"{result.name}: {result.scenario.about}",
        "Stack": f"{result.stack} ({result.place})",
        "From, until": f"{result.started_at:%Y-%m-%d %H:%M:%S}, {result.completed_at:%H:%M:%S} UTC",
        "Generator": f"{result.machine}; k6 {result.versions.get('k6')}",
        "Sources": result.commit,
        "PostgreSQL": result.versions.get("postgresql", ""),
        "Run": result.run_id,
    }
    parts = [
        f"<h1>Load run <span class={good}>{said}</span></h1>",
        _table((), ((key, value) for key, value in facts.items())),
        *(f"<p class=bad>{html.escape(cause)}</p>" for cause in result.causes),
        "<h2>Demands</h2>",
        _verdict(result),
        "<h2>Operations</h2>",
        *_operations(result),
        _reference(result),
        "<h2>What is used up first</h2>",
        *(f"<p>{html.escape(line)}</p>" for line in verdict.saturated(result)),
        _server(result),
        "<h2>Over time</h2>",
        *_charts(result),
        _errors(result),
    ]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Load run {result.name}</title>"
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _verdict(result: Result) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(one.what)}<td class=n>{html.escape(one.demanded)}"
        f"<td class=n>{html.escape(one.measured)}<td class={'good' if one.met else 'bad'}>"
        f"{'met' if one.met else 'missed'}"
        for one in result.verdict
    )
    return f"<table><tr><th>what<th>demanded<th>measured<th>{rows}</table>"


def _operations(result: Result) -> Iterable[str]:
    head = (
        "operation", "right answers", "per s", "items per s", "failed", "wrong", "dropped",
        "P50 ms", "P95 ms", "P99 ms", "most ms", "in the database ms",
    )  # fmt: skip
    for number, step in enumerate(result.steps, 1):
        if len(result.steps) > 1:
            yield f"<h3>Step {number}: {step.rate:g} times the promised rates</h3>"
        yield _table(
            head,
            (
                (
                    name, one.answered, one.per_second, one.items_per_second, one.failed, one.wrong,
                    one.dropped, one.p50_ms, one.p95_ms, one.p99_ms, one.max_ms, one.server_ms,
                )
                for name, one in step.operations.items()
            ),
        )  # fmt: skip


def _reference(result: Result) -> str:
    if result.reference is None:
        return ""
    rows = [
        ("the mix, by pgbench", *sorted(result.reference.mix)),
        ("pgbench -N", *sorted(result.reference.plain)),
    ]
    return "<h2>Calls a second by pgbench, in turns</h2>" + _table((), rows)


def _server(result: Result) -> str:
    rows: list[tuple[object, ...]] = [
        (name.replace("_", " "), value)
        for name, value in result.server.items()
        if isinstance(value, (int, float))
    ]
    rows += [(f"cores: {name}", cores) for name, cores in result.server.get("cpu", {}).items()]
    rows += [(f"sessions: {name}", share) for name, share in result.server.get("waits", {}).items()]
    return _table((), rows)


def _charts(result: Result) -> Iterable[str]:
    for title, unit, prefix in CHARTS:
        lines: dict[str, Points] = {
            name.removeprefix(prefix) or title: points
            for name, points in result.series.items()
            if name.startswith(prefix)
        }
        yield chart(title, unit, lines)


def _errors(result: Result) -> str:
    if not result.errors:
        return ""
    ordered = sorted(result.errors.items(), key=lambda item: -item[1])
    return "<h2>What went wrong</h2>" + _table(("what", "times"), ordered)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    top = "<tr>" + "".join(f"<th>{html.escape(one)}" for one in head) if head else ""
    body = "".join("<tr>" + "".join(map(_cell, row)) for row in rows)
    return f"<table>{top}{body}</table>"


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"<td>{html.escape('-' if value is None else str(value))}"
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    return f"<td class=n>{text}"
