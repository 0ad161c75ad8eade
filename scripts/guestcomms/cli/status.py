"""`guestcomms status`: the live cluster, judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import typer
from rich.console import Group
from rich.text import Text

from guestcomms.cli.common import (
    JsonOption,
    console,
    load_stack,
    print_json,
    progress,
    size,
    table,
)
from guestcomms.errors import UnhealthyError
from guestcomms.health import ClusterHealth
from guestcomms.status import Report, examine

STYLES = {"ok": "green", "fail": "bold red", "unknown": "yellow"}


def status(context: typer.Context, json: JsonOption = False) -> None:
    """Judge the live cluster: members, synchronous standby, front doors, archiving, backups.

    Exit code 0 only if every check is ok.
    """
    stack = load_stack(context)
    with progress.status(f"Asking the machines of stack {stack.name} …"):
        report = examine(stack)
    if json:
        print_json({**as_json(report), "consoles": stack.consoles})
    else:
        if report.cluster:
            console.print(members_table(report.cluster))
            console.print()
        console.print(checks_table(report))
        console.print(f"\nconsoles: {stack.consoles}")
    bad = [check.name for check in report.checks if check.state != "ok"]
    if bad:
        raise UnhealthyError(
            f"Stack {stack.name!r} is not healthy ({', '.join(bad)}); the table says what to do."
        )
    if not json:
        console.print(f"\n[bold green]Stack {stack.name} is healthy.[/bold green]")


def as_json(report: Report) -> dict[str, object]:
    """The report for programs."""
    return {
        "stack": report.stack,
        "healthy": report.healthy,
        "checks": [asdict(check) for check in report.checks],
        "cluster": report.cluster.model_dump(mode="json") if report.cluster else None,
    }


def members_table(seen: ClusterHealth) -> Group:
    """One row per database machine."""
    columns = ("machine", "role", "state", "timeline", "behind", "etcd", "remarks")
    return table("Database machines", columns, _members(seen))


def _members(seen: ClusterHealth) -> Iterator[tuple[object, ...]]:
    for name, member in sorted(seen.members.items()):
        consensus = seen.etcd.get(name)
        healthy = consensus is not None and consensus.healthy
        leads = " (leads)" if consensus is not None and consensus.leader else ""
        yield (
            Text(name, "bold" if name == seen.leader else ""),
            member.role.replace("_", " "),
            member.state,
            member.timeline,
            size(member.lag_bytes),
            Text(f"ok{leads}" if healthy else "fail", STYLES["ok" if healthy else "fail"]),
            "restart pending" if member.pending_restart else "",
        )


def checks_table(report: Report) -> Group:
    """One row per check, with what to do about those that are not ok."""
    rows = (
        (check.name, Text(check.state, STYLES[check.state]), _words(check.value, check.todo))
        for check in report.checks
    )
    return table(f"Stack {report.stack}", ("check", "", "what was seen"), rows)


def _words(value: str, todo: str) -> str:
    return f"{value}\n→ {todo}" if todo else value
