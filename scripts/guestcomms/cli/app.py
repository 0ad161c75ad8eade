"""The commands of `guestcomms`, put together."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from guestcomms.cli import (
    alerts,
    backup,
    checks,
    connect,
    demo,
    down,
    integrity,
    load,
    machine,
    migrate,
    pulumi,
    restore,
    restore_table,
    rotate,
    secrets,
    status,
    up,
    worker,
)
from guestcomms.cli.common import EXIT_CODES, Settings, show_details
from guestcomms.engine import STACK_NAME
from guestcomms.errors import UsageError

CLUSTER, DATABASE, MACHINES, ENGINE = "The cluster", "The database", "One machine", "Pulumi by hand"
PASS_ON = {"allow_interspersed_args": False}
"""After the first argument everything belongs to the program that is called, `--` or not."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: " + "; ".join(f"{code} {text}" for code, text in EXIT_CODES.items()) + ".",
)
app.command(rich_help_panel=CLUSTER)(up.up)
app.command(rich_help_panel=CLUSTER)(down.down)
app.command(rich_help_panel=CLUSTER)(status.status)
app.command(rich_help_panel=CLUSTER)(alerts.alerts)
app.command(rich_help_panel=CLUSTER)(checks.readiness)
app.command(rich_help_panel=CLUSTER)(checks.health)
app.add_typer(backup.app, name="backup", rich_help_panel=CLUSTER)
app.add_typer(load.app, name="load", rich_help_panel=CLUSTER)
app.add_typer(restore.app, name="restore", rich_help_panel=CLUSTER)
restore.app.command("table")(restore_table.restore_table)
restore.app.command("tables")(restore_table.list_tables)
app.add_typer(rotate.app, name="rotate", rich_help_panel=CLUSTER)
app.add_typer(secrets.app, name="secrets", rich_help_panel=CLUSTER)
app.command(rich_help_panel=DATABASE)(connect.dsn)
app.command(rich_help_panel=DATABASE, context_settings=PASS_ON)(connect.psql)
app.add_typer(integrity.app, name="integrity", rich_help_panel=DATABASE)
app.add_typer(migrate.app, name="migrate", rich_help_panel=DATABASE)
app.add_typer(worker.app, name="worker", rich_help_panel=DATABASE)
app.command(rich_help_panel=DATABASE)(demo.demo)
app.command(rich_help_panel=MACHINES)(machine.logs)
app.command(rich_help_panel=MACHINES, context_settings=PASS_ON)(machine.shell)
app.command(rich_help_panel=ENGINE)(pulumi.env)
app.command(rich_help_panel=ENGINE, context_settings=PASS_ON)(pulumi.pulumi)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("guestcomms"))
        raise typer.Exit


@app.callback()
def guestcomms(
    context: typer.Context,
    stack: Annotated[
        str, typer.Option("--stack", "-s", envvar="GUESTCOMMS_STACK", help="Which cluster.")
    ] = "local",
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the programs that are run, and tracebacks.")
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Bring up, look at and work with a PostgreSQL cluster for guest communications."""
    if not STACK_NAME.fullmatch(stack):
        raise UsageError(
            f"{stack!r} cannot be a stack's name; it is made of a-z, 0-9 and -, begins with a"
            " letter and has at most 31 characters, such as local or aws-staging."
        )
    show_details(debug)
    context.obj = Settings(stack, debug)
