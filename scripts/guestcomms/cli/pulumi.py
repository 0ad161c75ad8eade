"""`guestcomms env` and `guestcomms pulumi`: the engine by hand, on the same state."""

from __future__ import annotations

from typing import Annotated

import typer

from guestcomms import engine, run
from guestcomms.cli.common import JsonOption, print_json, settings


def env(context: typer.Context, json: JsonOption = False) -> None:
    """Print the environment in which Pulumi works on this stack's state.

    Example: eval "$(guestcomms env)" && pulumi preview
    """
    engine.prepare_backend()
    stack = settings(context).stack
    if json:
        print_json(engine.pulumi_environment(stack))
    else:
        typer.echo(engine.exports(stack))


def pulumi(
    context: typer.Context,
    arguments: Annotated[list[str], typer.Argument(metavar="-- ARGS", help="Pulumi's own.")],
) -> None:
    """Run Pulumi on this stack's state; exits as Pulumi does.

    Example: guestcomms pulumi -- preview --diff
    """
    engine.prepare_backend()
    try:
        engine.pulumi_on_terminal(settings(context).stack, arguments)
    except run.CommandError as error:
        raise typer.Exit(error.status) from None
