"""`guestcomms migrate`: the schema, from migrations/, functions/ and policies/ into a database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from guestcomms import db, hints, migrate, paths
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
from guestcomms.errors import UnhealthyError, UsageError

app = typer.Typer(
    no_args_is_help=True,
    help="The schema: from migrations/, functions/ and policies/ into a database.",
)

DsnOption = Annotated[
    str | None,
    typer.Option(
        "--dsn", envvar="GUESTCOMMS_DSN", metavar="URL", help="Any PostgreSQL, instead of a stack."
    ),
]
LockTimeoutOption = Annotated[
    float, typer.Option(min=0.1, metavar="SECONDS", help="Wait for a lock no longer than this.")
]
AttemptsOption = Annotated[int, typer.Option(min=1, help="So often, if a lock is not free.")]
PauseOption = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="Let others pass between two attempts.")
]
_DEFAULT = migrate.Patience()


@app.command()
def apply(
    context: typer.Context,
    dsn: DsnOption = None,
    lock_timeout: LockTimeoutOption = _DEFAULT.lock_timeout,
    attempts: AttemptsOption = _DEFAULT.attempts,
    pause: PauseOption = _DEFAULT.pause,
    json: JsonOption = False,
) -> None:
    """Bring a database to what this tree says. A second run changes nothing.

    Each migration is one transaction; functions, views, policies and jobs together are one more.

    Example, from a deploy pipeline: GUESTCOMMS_DSN=postgresql://… guestcomms migrate apply --json
    """
    patience = migrate.Patience(lock_timeout, attempts, pause)
    run = migrate.apply(_dsn(context, dsn), patience=patience, tell=_tell)
    _report(run, "applied", json)


@app.command()
def status(context: typer.Context, dsn: DsnOption = None, json: JsonOption = False) -> None:
    """Tell what is applied and what `apply` would apply."""
    plan = migrate.plan(_dsn(context, dsn))
    if json:
        print_json(_as_json(plan))
        return
    pending = {one.id for one in plan.pending}
    rows = [[path, Text("applied", "green")] for path in plan.applied if path not in pending]
    rows += [[one.id, Text("pending", "yellow")] for one in plan.pending]
    rows += [[one.file.path, Text(one.reason, "yellow")] for one in plan.changes]
    rows += [[path, Text("skipped, no pg_cron", "yellow")] for path in plan.skipped]
    console.print(table(plan.target, ("what", "state"), rows))
    console.print(f"{len(plan.to_apply)} to apply.")


@app.command()
def check(context: typer.Context, dsn: DsnOption = None, json: JsonOption = False) -> None:
    """Tell whether a database has what migrations need, and whether its schema is in order.

    Prints the statement that makes what is missing. Exit code 6 if anything is missing, edited by
    hand, or wrong; pending migrations alone are in order.
    """
    plan = migrate.plan(_dsn(context, dsn))
    drifted = [one.file.path for one in plan.changes if one.reason == "drifted"]
    if json:
        print_json(_as_json(plan))
    else:
        rows = [[str(one), one.remedy] for one in plan.missing]
        rows += [[f"{one.what} {one.name}", one.remedy] for one in plan.problems]
        rows += [
            [f"{path} differs in the database", hints.command("migrate apply")] for path in drifted
        ]
        rows += [[f"{path} is skipped", "it needs the extension pg_cron"] for path in plan.skipped]
        console.print(table(plan.target, ("not in order", "what to do"), rows))
    found = len(plan.missing) + len(plan.problems) + len(drifted)
    if found:
        raise UnhealthyError(
            f"{plan.target}: {found} things are not in order; do what stands beside each."
        )


@app.command()
def rollback(
    context: typer.Context,
    count: Annotated[int, typer.Option(min=1, help="So many of the newest migrations.")] = 1,
    dsn: DsnOption = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Take back the newest migrations. What they added is lost, with the data in it.

    Before it asks, it names each table and column that will be gone, and about how many rows.
    """
    target = _dsn(context, dsn)
    planned = migrate.rollback_plan(target, count)
    losses = migrate.losses(target, planned)
    progress.print(f"{db.describe(target)}, in this order:")
    for migration in planned:
        progress.print(f"  {migration.path} by {(migration.rollback_file or migration.file).name}")
        for loss in losses:
            if loss.migration == migration:
                progress.print(f"    destroys {loss}", highlight=False)
    if not yes:
        confirm_by_name(db.database_of(target), "What these migrations added is lost.")
    _report(migrate.rollback(target, planned, tell=_tell), "rolled back", json)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as add-note-to-guests.")],
    json: JsonOption = False,
) -> None:
    """Write the files of a new migration, with the next number. Then: edit, `migrate sums`."""
    made = [str(path.relative_to(paths.ROOT)) for path in migrate.new(name)]
    if json:
        print_json(made)
    else:
        console.print("\n".join(made))


@app.command()
def sums(
    edited: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Accept an edit: it was never applied anywhere."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write the checksums of new migrations into migrations/SUMS."""
    changed = migrate.write_sums(edited or [])
    if json:
        print_json(changed)
    else:
        console.print("\n".join(changed) or "SUMS is complete.")


@app.command()
def schema(
    context: typer.Context,
    dsn: DsnOption = None,
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing, tell whether the file is right.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write schema.sql, the picture of the schema, from a migrated database.

    A stack's machines have the pg_dump it takes; with --dsn it is the one on PATH, and must be as
    new as the server.
    """
    from guestcomms.migrate import dump

    text = dump.of_dsn(dsn) if dsn else dump.of_stack(load_stack(context))
    file = paths.ROOT / "schema.sql"
    differs = not file.exists() or file.read_text(encoding="utf-8") != text
    if check_only and differs:
        raise UnhealthyError(
            "schema.sql is not what the database has; run `.venv/bin/guestcomms migrate schema` and"
            " look at `git diff schema.sql`."
        )
    if differs:
        file.write_text(text, encoding="utf-8")
    _tell_written(file, differs, json)


def _tell_written(file: Path, differs: bool, json: bool) -> None:
    if json:
        print_json({"file": file.name, "changed": differs})
    else:
        console.print(f"{file.name} {'is written' if differs else 'is right already'}.")


def _dsn(context: typer.Context, dsn: str | None) -> str:
    """The database that is meant: --dsn, else the direct way into the stack."""
    if dsn == "":
        raise UsageError(
            "--dsn (or GUESTCOMMS_DSN) is empty; give postgresql://user@host/database."
        )
    return dsn or load_stack(context).dsn("migrator", direct=True)


def _tell(message: str) -> None:
    progress.print(Text(message), soft_wrap=True)


def _report(run: migrate.Run, what: str, json: bool) -> None:
    if json:
        print_json(
            {
                "target": run.target,
                "migrations": run.migrations,
                "repeatables": run.repeatables,
                "skipped": run.skipped,
                "seconds": round(run.seconds, 3),
            }
        )
        return
    for path in (*run.migrations, *run.repeatables):
        console.print(path, highlight=False)
    for path in run.skipped:
        console.print(f"{path} is skipped: it needs the extension pg_cron", highlight=False)
    count = len(run.migrations) + len(run.repeatables)
    console.print(f"{run.target}: {count} {what} in {run.seconds:.1f} s.")


def _as_json(plan: migrate.Plan) -> dict[str, Any]:
    return {
        "target": plan.target,
        "applied": plan.applied,
        "pending": [one.id for one in plan.pending],
        "changed": [{"path": one.file.path, "reason": one.reason} for one in plan.changes],
        "skipped": plan.skipped,
        "problems": [vars(one) for one in plan.problems],
        "missing": [vars(one) for one in plan.missing],
    }
