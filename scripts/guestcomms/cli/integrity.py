"""`guestcomms integrity`: find data that contradicts itself, and repair it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from guestcomms import db, hints
from guestcomms.cli.common import JsonOption, console, load_stack, print_json, table
from guestcomms.errors import UnhealthyError

app = typer.Typer(no_args_is_help=True, help="Data that contradicts itself: find it, repair it.")

CHECK = "SELECT * FROM public.run_integrity_checks(now() - make_interval(days => %s))"
REPAIR = "SELECT * FROM public.repair_integrity(%s, %s, now() - make_interval(days => %s))"

DaysOption = Annotated[
    int, typer.Option(min=1, max=36500, metavar="DAYS", help="Only messages made since then.")
]


@app.command()
def check(context: typer.Context, days: DaysOption = 60, json: JsonOption = False) -> None:
    """Run run_integrity_checks(): one row per check, with a sample of what was found.

    Exit code 0 only if nothing was found that is wrong; warnings are shown.
    """
    checks = call(context, CHECK, days)
    show("Integrity", checks, json=json)
    errors = [
        one["check_name"] for one in checks if one["severity"] == "error" and one["count"] != 0
    ]
    if errors:
        raise UnhealthyError(
            f"{len(errors)} integrity checks found something or failed: {', '.join(errors)};"
            f" {hints.command('integrity repair CHECK')} says what a repair would do."
        )


@app.command()
def repair(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="CHECK", help="Whose findings.")],
    apply: Annotated[bool, typer.Option("--apply", help="Do it, instead of showing it.")] = False,
    days: DaysOption = 60,
    json: JsonOption = False,
) -> None:
    """Show what repair_integrity() would repair of what a check finds; with --apply, repair it."""
    show("Repair", call(context, REPAIR, name, not apply, days), json=json)


def call(context: typer.Context, query: str, *arguments: object) -> list[dict[str, Any]]:
    """The rows of an integrity function, called as operations."""
    dsn = load_stack(context).dsn("ops")
    with db.connect(dsn, application_name="guestcomms integrity", autocommit=True) as connection:
        return db.rows(connection, query, arguments)


def show(title: str, rows: list[dict[str, Any]], *, json: bool) -> None:
    """Print rows, for people or for programs."""
    if json:
        print_json(rows)
    else:
        console.print(table(title, rows[0], [row.values() for row in rows]))
