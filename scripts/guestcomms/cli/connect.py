"""`guestcomms dsn` and `guestcomms psql`: ways into the database."""

from __future__ import annotations

from typing import Annotated

import typer

from guestcomms import run
from guestcomms.cli.common import JsonOption, load_stack, print_json
from guestcomms.stack import ROLES

RoleOption = Annotated[
    str, typer.Option("--role", metavar="ROLE", help=f"One of: {', '.join(ROLES)}.")
]
ReadOnlyOption = Annotated[bool, typer.Option("--read-only", help="To a standby.")]
DirectOption = Annotated[
    bool, typer.Option("--direct", help="To the leader's PostgreSQL, past the connection pooler.")
]


def dsn(
    context: typer.Context,
    role: RoleOption = "app",
    read_only: ReadOnlyOption = False,
    direct: DirectOption = False,
    json: JsonOption = False,
) -> None:
    """Print a connection URL that verifies the server.

    It holds the role's password: give it to a program, not to a screen.

    Example: psql "$(guestcomms dsn)" -c 'select 1'
    """
    stack = load_stack(context)
    url = stack.dsn(role, read_only=read_only, direct=direct)
    if json:
        print_json({"stack": stack.name, "role": role, "login": stack.login(role), "dsn": url})
    else:
        typer.echo(url)


def psql(
    context: typer.Context,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- ARGS]", help="Passed on to psql.")
    ] = None,
    role: RoleOption = "ops",
    read_only: ReadOnlyOption = False,
    direct: DirectOption = False,
) -> None:
    """Open psql as a role; exits as psql does.

    The password goes through the environment.

    Example: guestcomms psql --role app -- -c 'select 1'
    """
    stack = load_stack(context)
    url = stack.dsn(role, read_only=read_only, direct=direct, with_password=False)
    run.replace(
        ["psql", url, *(arguments or [])],
        env={"PGPASSWORD": stack.passwords[stack.login(role)]},
        install="install it (on Debian: apt-get install postgresql-client)",
    )
