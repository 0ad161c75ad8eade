"""`guestcomms demo`: two organizations, their guests, a campaign, and what came back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from guestcomms import db, paths
from guestcomms.cli.common import JsonOption, console, load_stack, print_json, progress, table
from guestcomms.demo import story
from guestcomms.demo.templates import ORGANIZATIONS
from guestcomms.errors import RefusedError, UsageError

SINK = paths.STATE / "demo" / "sink.jsonl"


def demo(
    context: typer.Context,
    app_dsn: Annotated[
        str | None,
        typer.Option(
            envvar="GUESTCOMMS_APP_DSN",
            metavar="URL",
            help="Any database, instead of a stack's, as an application; needs the other two.",
        ),
    ] = None,
    worker_dsn: Annotated[
        str | None,
        typer.Option(
            envvar="GUESTCOMMS_WORKER_DSN", metavar="URL", help="The same database as a worker."
        ),
    ] = None,
    ops_dsn: Annotated[
        str | None,
        typer.Option(
            envvar="GUESTCOMMS_OPS_DSN", metavar="URL", help="The same database as operations."
        ),
    ] = None,
    sink: Annotated[
        Path,
        typer.Option(
            show_default=".state/demo/sink.jsonl",
            metavar="FILE",
            help="Where the messages go: nothing is sent.",
        ),
    ] = SINK,
    json: JsonOption = False,
) -> None:
    """Send a campaign of two made-up organizations into a file, and show what became of it.

    A second run finds what the first one made and sends nothing again. The organizations stay:
    rows of a tenant are never deleted. Their messages and pages lie in .state/demo.
    """
    given = [way for way in (app_dsn, worker_dsn, ops_dsn) if way]
    if len(given) not in {0, 3}:
        raise UsageError("Give --app-dsn, --worker-dsn and --ops-dsn together, or none of them.")
    if given:
        ways = story.Ways(*given)
    else:
        stack = load_stack(context)
        ways = story.Ways(stack.dsn("app"), stack.dsn("worker"), stack.dsn("ops"))
    try:
        found = _tell(ways, sink.absolute())
    except db.DatabaseError as error:
        raise RefusedError(
            f"The database refused a step of the demonstration: {db.first_line(error)}; look at"
            " `.venv/bin/guestcomms migrate status`."
        ) from error
    if json:
        print_json([vars(shown) | {"organization": shown.organization.name} for shown in found])
        return
    for shown in found:
        _print(shown)


def _tell(ways: story.Ways, sink: Path) -> list[story.Shown]:
    """Run all steps."""
    progress.print("Organizations, guests, templates, communications …")
    story.prepare(ways)
    communications = [story.queue(ways, one) for one in ORGANIZATIONS]
    progress.print(f"A worker sends into {sink} …")
    attempts = story.send(ways, sink)
    progress.print(f"{sum(attempts.values())} messages; the provider reports on them …")
    events = story.report_events(ways, sink)
    progress.print(f"{events} events, shuffled, a quarter of them repeated.")
    return [
        story.show(ways, one, communication, sink)
        for one, communication in zip(ORGANIZATIONS, communications, strict=True)
    ]


def _print(shown: story.Shown) -> None:
    one = shown.organization
    states = [(state, number) for state, number in shown.progress.items() if number]
    console.print()
    console.print(
        table(f"{one.name}: {one.title}", ("state", "guests"), states),
        table("Its first recipients", ("guest", "address", "state"), map(_cells, shown.recipients)),
        table("Not written to any more", ("because", "addresses"), shown.suppressions.items()),
    )
    if shown.page is not None:
        console.print(f"A message as its guest sees it: {shown.page.as_uri()}", soft_wrap=True)


def _cells(row: Any) -> tuple[object, ...]:
    return row["recipient_name"], row["recipient_email"], row["status"]
