"""`guestcomms alerts`: what fires, what people were told."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from guestcomms.alerts import Alert, firing, history
from guestcomms.cli.common import JsonOption, console, load_stack, moment, print_json, table
from guestcomms.errors import UnhealthyError

STYLES = {"critical": "bold red", "warning": "yellow", "firing": "red", "resolved": "green"}


def alerts(
    context: typer.Context,
    show_history: Annotated[
        bool, typer.Option("--history", help="What people were told, instead of what fires now.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=100_000, help="With --history: so many.")
    ] = 50,
    json: JsonOption = False,
) -> None:
    """Show the alerts that fire now, each with its runbook, or what people were told lately.

    Exit code 0 only if no critical alert fires; of the history always.
    """
    stack = load_stack(context)
    if show_history:
        messages = history(stack, limit)
        if json:
            print_json([message.model_dump(mode="json") for message in messages])
        else:
            rows = (
                (moment(each.received_at), _styled(each.status), *_cells(each)) for each in messages
            )
            console.print(table("What people were told", ("at", "", *COLUMNS), rows))
        return
    now = firing(stack)
    if json:
        print_json([alert.model_dump(mode="json") for alert in now])
    elif not now:
        console.print("[bold green]No alert fires.[/bold green]")
    else:
        rows = ((moment(each.starts_at), *_cells(each), each.runbook) for each in now)
        console.print(table("Firing now", ("since", *COLUMNS, "runbook"), rows))
    if worst := sorted({alert.name for alert in now if alert.severity == "critical"}):
        raise UnhealthyError(
            f"Critical alerts fire ({', '.join(worst)}); their runbooks say what to do."
        )


COLUMNS = ("severity", "alert", "what is wrong")


def _cells(alert: Alert) -> tuple[object, ...]:
    return _styled(alert.severity), alert.name, alert.description


def _styled(word: str) -> Text:
    return Text(word, STYLES.get(word, ""))
