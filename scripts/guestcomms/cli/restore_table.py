"""`guestcomms restore table`: rows of one table as they were, compared, and copied back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guestcomms import db, drills, hints, paths, tables
from guestcomms.cli.common import (
    JsonOption,
    YesOption,
    confirm_by_name,
    console,
    load_stack,
    print_json,
    progress,
    table,
)
from guestcomms.cli.restore import WAIT_SECONDS, await_verdict, connect
from guestcomms.errors import UsageError
from guestcomms.stack import Stack
from guestcomms.tables import apply as apply_
from guestcomms.tables import ledger
from guestcomms.tables.compare import Comparison
from guestcomms.tables.ledger import TableRestore


def restore_table(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[TABLE]", help="Such as guests."),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="TARGET", help="As of `restore drill`.")
    ] = None,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="Without what lies exactly at the target.")
    ] = False,
    rows: Annotated[
        str | None,
        typer.Option("--rows", metavar="PREDICATE", help="Only rows that fulfil it, as in WHERE."),
    ] = None,
    columns: Annotated[
        str,
        typer.Option("--columns", metavar="A,B", help="Compare and set only these. Default: all."),
    ] = "",
    delete_extra: Annotated[
        bool, typer.Option("--delete-extra", help="Also delete rows that were not there.")
    ] = False,
    include_left_out: Annotated[
        bool,
        typer.Option(
            "--include-left-out",
            help="Also rows whose return would undo an erasure, a refusal or a message sent.",
        ),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="For the SQL.")
    ] = None,
    compare: Annotated[
        str | None, typer.Option("--compare", metavar="RESTORE", help="Compare its rows again.")
    ] = None,
    apply: Annotated[
        str | None, typer.Option("--apply", metavar="RESTORE", help="Run the SQL you have read.")
    ] = None,
    drop: Annotated[
        str | None, typer.Option("--drop", metavar="RESTORE", help="Throw its rows away.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Wait no longer for the restore.")
    ] = WAIT_SECONDS,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Bring rows of one table back as they were, while the cluster serves.

    First `TABLE --to TARGET`: the rows go into schema `restored`, are compared with the live ones,
    and the SQL that copies back is written to a file. Then read it, and `--apply RESTORE`; at the
    end `--drop RESTORE`.
    """
    stack = load_stack(context)
    if [name, compare, apply, drop].count(None) != 3 or (name is None) != (to is None):
        raise UsageError("Give TABLE with --to TARGET, or one of --compare, --apply and --drop.")
    wanted = tables.Wanted(
        [column.strip() for column in columns.split(",") if column.strip()],
        delete_extra=delete_extra,
        include_left_out=include_left_out,
    )
    if apply is not None:
        _copy_back(stack, apply, output, yes=yes, json=json)
        return
    if drop is not None:
        _drop(stack, drop, yes=yes, json=json)
        return
    with connect(stack) as connection:
        if name is not None and to is not None:
            compare = ledger.request(connection, name, to, inclusive=not exclusive, rows=rows)
            drill = drills.find(connection, compare, stack.name)
            await_verdict(connection, stack.name, drill, timeout)
        restore = ledger.find(connection, str(compare), stack.name)
    file = output or _script_file(stack, restore.drill_id)
    with _migrator(stack) as connection, progress.status(f"comparing {restore.table_name}"):
        found = tables.compare_and_write(connection, restore, wanted, file, stack.name)
    if json:
        print_json({"drill_id": restore.drill_id, "table": restore.table_name, "file": file,
                    **found.as_json(), "samples": found.samples})  # fmt: skip
    else:
        _show_comparison(stack, restore, found, file)


def list_tables(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many newest.")] = 20,
    json: JsonOption = False,
) -> None:
    """List the tables that were restored, and what became of their rows."""
    with connect(load_stack(context)) as connection:
        found = ledger.newest(connection, limit)
    if json:
        print_json([one.model_dump(exclude={"definition"}) for one in found])
        return
    cells = [
        (
            one.drill_id,
            one.table_name,
            one.moment,
            one.row_count,
            one.state,
        )
        for one in found
    ]
    columns = ("restore", "table", "as at", "rows", "state")
    console.print(table("Restores of tables", columns, cells))


def _copy_back(stack: Stack, drill_id: str, file: Path | None, *, yes: bool, json: bool) -> None:
    with connect(stack) as connection:
        restore = ledger.find(connection, drill_id, stack.name)
    ledger.require_rows(restore, stack.name)
    path = file or _script_file(stack, drill_id)
    steps = tables.read(path, restore, stack.name)
    if not yes:
        titles = "\n".join(f"  {number}. {step.title}" for number, step in enumerate(steps, 1))
        confirm_by_name(
            restore.table_name,
            f"{path} changes {restore.table_name} of the running stack {stack.name!r}:\n{titles}\n"
            "A recovery point is written first.",
        )
    with connect(stack) as connection:
        point = apply_.mark(connection)
    with _migrator(stack) as connection, progress.status(f"changing {restore.table_name}") as said:
        outcome = apply_.run(connection, restore, steps, stack=stack.name, report=said.update)
    if json:
        print_json({"drill_id": drill_id, "recovery_point": point, "outcome": outcome})
        return
    rows = ", ".join(f"{count} rows {how}" for how, count in sorted(outcome.items()))
    console.print(f"{restore.table_name}: {rows or 'nothing was to be done'}.")
    if outcome.get("moved") or outcome.get("in the way"):
        again = hints.command(f"restore table --compare {drill_id}", stack.name)
        console.print(f"Rows that moved, or that another row is in the way of, stayed: {again}.")
    undo = hints.command(f"restore table {restore.table_name} --to {point}", stack.name)
    drop = hints.command(f"restore table --drop {drill_id}", stack.name)
    console.print(f"If it was wrong: {undo}. When all is well: {drop}.")


def _drop(stack: Stack, drill_id: str, *, yes: bool, json: bool) -> None:
    with connect(stack) as connection:
        restore = ledger.find(connection, drill_id, stack.name)
        if not yes:
            confirm_by_name(
                drill_id,
                f"The {restore.row_count or 0} rows of {restore.table_name} in restored.{drill_id}"
                f" of stack {stack.name!r} are thrown away; the live table is not touched.",
            )
        dropped = ledger.drop(connection, drill_id)
    if json:
        print_json({"drill_id": drill_id, "dropped": dropped})
    else:
        console.print(f"The rows of {drill_id} {'are dropped' if dropped else 'were not there'}.")


def _show_comparison(stack: Stack, restore: TableRestore, found: Comparison, file: Path) -> None:
    rows = [
        (kind, count, "; ".join(" ".join(key.values()) for key in found.samples[kind]) or None)
        for kind, count in found.counts.items()
    ]
    rows += [("left out", count, reason) for reason, count in sorted(found.left_out.items())]
    title = f"{restore.table_name} at {restore.moment} and now"
    if not found.live.is_there:
        title += " (it is not there any more)"
    console.print(table(title, ("rows", "count", "such as"), rows))
    if not any(found.counts.values()):
        console.print("There is nothing to copy back.")
        return
    console.print(f"The SQL that copies back is in {file}: read it, change what is wrong, then")
    console.print(f"    {hints.command(f'restore table --apply {restore.drill_id}', stack.name)}")


def _migrator(stack: Stack) -> db.Connection:
    """Who may change every table; past the pooler, because roles and locks need a session."""
    dsn = stack.dsn("migrator", direct=True)
    return db.connect(dsn, application_name="guestcomms restore table", autocommit=True)


def _script_file(stack: Stack, drill_id: str) -> Path:
    return paths.stack_directory(stack.name) / f"{drill_id}.sql"
