"""`guestcomms up`: from nothing, or from any state, to a migrated cluster with a full backup."""

from __future__ import annotations

import sys
from typing import Any

import typer

from guestcomms import backups, engine
from guestcomms.cli.backup import await_completion, connect, describe
from guestcomms.cli.common import (
    JsonOption,
    YesOption,
    console,
    print_json,
    progress,
    settings,
    table,
)
from guestcomms.cli.progress import Stages
from guestcomms.migrate import apply_all
from guestcomms.stack import Stack


def up(context: typer.Context, yes: YesOption = False, json: JsonOption = False) -> None:
    """Bring the cluster up, or to what its stack file says now.

    Creates and changes machines (Pulumi), migrates the database, and sees that a first full
    backup exists. On a terminal the plan is shown and asked about, unless --yes is given. After a
    failure the same command goes on where it stopped.
    """
    name = settings(context).stack
    stages = Stages(f"up-{name}")
    with stages.stage("Open the state"):
        engine.prepare_backend()
        engine.create_stack(name)
        engine.check_passphrase(name)
    ask = sys.stdin.isatty() and sys.stdout.isatty() and not (yes or json)
    with stages.stage("Create and change machines"):
        engine.pulumi_on_terminal(
            name, ["up", *([] if ask else ["--yes", "--skip-preview"])], to_stderr=json
        )
    stack = Stack.load(name)
    with stages.stage("Migrate the database"):
        applied = apply_all(stack.dsn("migrator", direct=True), tell=_say)
        _say(f"{len(applied)} files applied" if applied else "nothing to apply")
    with stages.stage("See that a full backup exists"):
        backup = _first_full_backup(stack)
    if json:
        print_json(_as_json(stack, stages, applied, backup))
    else:
        _tell(stack, stages)


def _first_full_backup(stack: Stack) -> backups.Backup:
    with connect(stack) as connection:
        backup, _requested = backups.ensure_full(connection)
        if not backup.ended:
            backup = await_completion(connection, backup)
    _say(describe(backup))
    return backup


def _say(line: str) -> None:
    """A line within a stage."""
    progress.print(f"  {line}", markup=False)


def _as_json(
    stack: Stack, stages: Stages, applied: list[str], backup: backups.Backup
) -> dict[str, Any]:
    return {
        "stack": stack.name,
        "endpoints": {name: str(at) for name, at in stack.outputs.endpoints.items()},
        "applied": applied,
        "full_backup": backup.model_dump(),
        **stages.as_json(),
    }


def _tell(stack: Stack, stages: Stages) -> None:
    """What a person does next."""
    rows = [(name.replace("_", "-"), at) for name, at in stack.outputs.endpoints.items()]
    console.print()
    console.print(table(f"Stack {stack.name} is up", ("endpoint", "address"), rows))
    option = "" if stack.name == "local" else f"--stack {stack.name} "
    me = f".venv/bin/guestcomms {option}"
    console.print(
        f"\nTook {stages.total_seconds:.0f} s. Go on with:\n"
        f"  {me}status\n"
        f"  {me}psql\n"
        f"  psql \"$({me}dsn)\" -c 'select 1'\n"
        f"  {me}--help",
        markup=False,
    )
