"""`guestcomms readiness` and `guestcomms health`: the database's own judgement of itself."""

from __future__ import annotations

import typer
from rich.text import Text

from guestcomms import db
from guestcomms.cli.common import JsonOption, console, load_stack, print_json, table
from guestcomms.errors import UnhealthyError

READINESS = "SELECT * FROM public.verify_production_readiness()"
HEALTH = "SELECT * FROM public.check_communication_system_health()"
STYLES = {"pass": "green", "fail": "red", "warn": "yellow", "unknown": "yellow"}


def readiness(context: typer.Context, json: JsonOption = False) -> None:
    """Run verify_production_readiness(): one row per check, from live facts.

    Exit code 0 only if no check fails. What cannot be evaluated is `unknown`, never `pass`.
    """
    judge(context, "readiness", READINESS, json=json)


def health(context: typer.Context, json: JsonOption = False) -> None:
    """Run check_communication_system_health(): queue, jobs, partitions, response times and more.

    Exit code 0 only if no check fails. What cannot be evaluated is `unknown`, never `pass`.
    """
    judge(context, "health", HEALTH, json=json)


def judge(context: typer.Context, command: str, query: str, *, json: bool) -> None:
    """Print what a function of checks says; raises `UnhealthyError` if one of them fails."""
    dsn = load_stack(context).dsn("ops")
    with db.connect(dsn, application_name=f"guestcomms {command}", autocommit=True) as connection:
        checks = db.rows(connection, query)
    if json:
        print_json(checks)
    else:
        rows = [
            [Text(str(cell), STYLES.get(str(cell), "")) for cell in check.values()]
            for check in checks
        ]
        console.print(table(command.capitalize(), checks[0] if checks else [], rows))
    failed = sum(check["status"] == "fail" for check in checks)
    if failed or not checks:
        raise UnhealthyError(
            f"{failed} of {len(checks)} {command} checks fail; the table's last column says what to"
            " do about each."
        )
