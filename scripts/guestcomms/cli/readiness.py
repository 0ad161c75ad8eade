"""`guestcomms readiness`: the database's own judgement of itself."""

from __future__ import annotations

import typer
from rich.text import Text

from guestcomms import db
from guestcomms.cli.common import JsonOption, console, load_stack, print_json, table
from guestcomms.errors import UnhealthyError

STYLES = {"pass": "green", "fail": "red", "warn": "yellow", "unknown": "yellow"}


def readiness(context: typer.Context, json: JsonOption = False) -> None:
    """Run verify_production_readiness(): one row per check, from live facts.

    Exit code 0 only if no check fails. What cannot be evaluated is `unknown`, never `pass`.
    """
    dsn = load_stack(context).dsn("ops")
    with db.connect(dsn, application_name="guestcomms readiness", autocommit=True) as connection:
        checks = db.rows(connection, "SELECT * FROM public.verify_production_readiness()")
    if json:
        print_json(checks)
    else:
        rows = [
            [Text(str(cell), STYLES.get(str(cell), "")) for cell in check.values()]
            for check in checks
        ]
        console.print(table("Production readiness", checks[0] if checks else [], rows))
    failed = sum(check["status"] == "fail" for check in checks)
    if failed or not checks:
        raise UnhealthyError(
            f"{failed} of {len(checks)} readiness checks fail; the table's last column says what to"
            " do about each."
        )
