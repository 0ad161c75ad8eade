"""`guestcomms up`: from nothing, or from any state, to a migrated cluster with a full backup."""

from __future__ import annotations

import sys
import time
from typing import Any

import typer
from rich.text import Text

from guestcomms import backups, db, engine, health, hints, restore_record
from guestcomms.cli.backup import await_completion, connect, describe
from guestcomms.cli.common import (
    JsonOption,
    YesOption,
    console,
    nobody_to_ask,
    print_json,
    progress,
    settings,
    table,
)
from guestcomms.cli.progress import Stages
from guestcomms.errors import GuestcommsError, UnhealthyError
from guestcomms.migrate import apply_all
from guestcomms.stack import Stack, check_clone, read_state

ANSWER_SECONDS = 60.0
MONITOR_SECONDS = 150.0


def up(context: typer.Context, yes: YesOption = False, json: JsonOption = False) -> None:
    """Bring the cluster up, or to what its stack file says now.

    Creates and changes machines (Pulumi), migrates the database, sees that a first full backup
    exists and that the monitor is alive. What was deleted or stopped by hand comes back. The plan
    is shown and asked about; without a terminal, or with --json, --yes is needed. After a failure
    the same command goes on where it stopped.
    """
    name = settings(context).stack
    if not yes and (json or not (sys.stdin.isatty() and sys.stdout.isatty())):
        raise nobody_to_ask()
    stages = Stages(f"up-{name}")
    with stages.stage("Open the state"):
        engine.prepare_backend()
        engine.create_stack(name)
        check_clone(name, read_state(name, show_secrets=True))  # a wrong passphrase shows here
        _refuse_within_a_restore(name)
    with stages.stage("Create and change machines"):
        unasked = ["--yes", "--skip-preview"] if yes else []
        engine.pulumi_on_terminal(name, ["up", "--refresh", *unasked], to_stderr=json)
    stack = Stack.load(name)
    with stages.stage("Migrate the database"):
        dsn = stack.dsn("migrator", direct=True)
        _await_answer(stack, dsn)
        applied = apply_all(dsn, tell=_say)
        _say(f"{len(applied)} files applied" if applied else "nothing to apply")
    with stages.stage("See that a full backup exists"):
        backup = _first_full_backup(stack)
    with stages.stage("Hear from the monitor"):
        _await_monitor(stack)
    if json:
        print_json(_as_json(stack, stages, applied, backup))
    else:
        _tell(stack, stages)


def _refuse_within_a_restore(name: str) -> None:
    """Machines whose data is on its way back are not changed. Raises `RefusedError`."""
    try:
        stack = Stack.load(name)
    except GuestcommsError:  # it is not up yet, or another version made it
        return
    restore_record.refuse_changes(stack)


def _await_answer(stack: Stack, dsn: str) -> None:
    """A front door that has just begun to run may need a moment to see the machines behind it."""
    todo = (
        f"see what {hints.command('status', stack.name)} and"
        f" {hints.command('logs proxy-1', stack.name)} say, then run {hints.up(stack.name)} again"
    )
    waiting = f"Waiting for {db.describe(dsn)}"
    with progress.status(waiting) as shown:
        db.wait(
            dsn,
            application_name="guestcomms up",
            timeout_seconds=ANSWER_SECONDS,
            todo=todo,
            report=lambda reason: shown.update(Text(f"{waiting}: {reason}")),
        )


def _first_full_backup(stack: Stack) -> backups.Backup:
    _await_answer(stack, stack.dsn("ops"))
    with connect(stack) as connection:
        backup, _requested = backups.ensure_full(connection)
        if not backup.ended:
            backup = await_completion(connection, stack.name, backup)
    _say(describe(backup))
    return backup


def _await_monitor(stack: Stack) -> None:
    """An Alertmanager that was not there yet hears of the first alert a minute later."""
    deadline = time.monotonic() + MONITOR_SECONDS
    with progress.status("Waiting for the monitor's sign of life"):
        while not (monitor := health.ask(stack).monitor).alive:
            if time.monotonic() > deadline:
                raise UnhealthyError(
                    f"The cluster is up, but its monitor gives no sign of life: {monitor.problem}"
                    f" See {hints.command('logs monitor-1', stack.name)}, then run"
                    f" {hints.up(stack.name)} again."
                )
            time.sleep(1)


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
