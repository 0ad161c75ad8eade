"""`guestcomms restore`: prove that backups can be restored, and bring back what they hold."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from guestcomms import db, drills, restores
from guestcomms.cli.common import (
    JsonOption,
    YesOption,
    console,
    load_stack,
    made_with,
    moment,
    print_json,
    progress,
    size,
    table,
)
from guestcomms.cli.restore_cluster import release_cluster, restore_cluster, thaw
from guestcomms.drills import Drill
from guestcomms.restores import ClusterRestore
from guestcomms.stack import Stack

app = typer.Typer(no_args_is_help=True, help="Restores beside the cluster and of it.")
app.command("cluster")(restore_cluster)
app.command("thaw")(thaw)
WAIT_SECONDS = 4 * 3600.0
STYLES = {"proven": "green", "restored": "green", "refuted": "bold red", "failed": "red"}


@app.command("drill")
def drill_restore(
    context: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="A time with its zone, a recovery point's id, an LSN or a transaction's number;"
            " time:, name:, lsn: or xid: in front says which. Default: a point made now.",
        ),
    ] = None,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="Without what lies exactly at the target.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the copy there to look at, until it is released.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Until it has come to a verdict.")] = True,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Wait no longer than this.")
    ] = WAIT_SECONDS,
    json: JsonOption = False,
) -> None:
    """Restore on the drill machine, and compare the copy with what was written.

    Exit code 0 if the restore is proven, 6 if it was done and something differs.
    """
    stack = load_stack(context)
    with connect(stack) as connection:
        drill = drills.request(connection, to, inclusive=not exclusive, keep=keep)
        if wait:
            drill = await_verdict(connection, stack.name, drill, timeout)
    if json:
        print_json(drill.model_dump())
    else:
        show(drill)


@app.command()
def history(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many newest.")] = 20,
    json: JsonOption = False,
) -> None:
    """List what was restored, how long it took and what it proved; the cluster itself, too.

    With --json each has its document: what, verdict, versions, times, figures.
    """
    with connect(load_stack(context)) as connection:
        found = restores.newest(connection, limit)
    if json:
        print_json([{**one.model_dump(), "verdict": one.verdict} for one in found])
        return
    columns = ("restore", "to", "backup", "verdict", "safe after", "restored in", "open in",
               "everything in", "when")  # fmt: skip
    console.print(table("Restores", columns, [_cells(one) for one in found]))


@app.command("show")
def show_restore(
    context: typer.Context,
    drill_id: Annotated[
        str | None, typer.Argument(metavar="[RESTORE]", help="Or the last.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show one restore with everything it compared, or one of the cluster with its steps."""
    stack = load_stack(context)
    if drill_id is not None and drill_id.startswith("restore_"):
        with connect(stack) as connection:
            done = restores.find(connection, drill_id, stack.name)
        if json:
            print_json({**done.model_dump(), "verdict": done.verdict})
        else:
            show_cluster_restore(done)
        return
    with connect(stack) as connection:
        drill = drills.find(connection, drill_id, stack.name)
    if json:
        print_json(drill.model_dump())
    else:
        show(drill)


@app.command()
def release(
    context: typer.Context,
    drill_id: Annotated[str, typer.Argument(metavar="RESTORE", help="As `history` lists it.")],
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Let go of a copy that was kept; or, after asking, of the old data of a restored cluster."""
    stack = load_stack(context)
    if drill_id.startswith("restore_"):
        release_cluster(stack, drill_id, yes=yes, json=json)
        return
    with connect(stack) as connection:
        was_kept = drills.release(connection, drill_id)
    if json:
        print_json({"drill_id": drill_id, "was_kept": was_kept})
    elif was_kept:
        console.print(f"The copy of {drill_id} is destroyed within seconds.")
    else:
        console.print(f"The copy of {drill_id} was not kept: there is nothing to release.")


def connect(stack: Stack) -> db.Connection:
    """A connection that may request and read restores."""
    return db.connect(stack.dsn("ops"), application_name="guestcomms restore", autocommit=True)


def await_verdict(
    connection: db.Connection, stack: str, drill: Drill, timeout_seconds: float
) -> Drill:
    """Wait for a drill and show how it goes on. Raises as `drills.wait`."""
    with progress.status(_going(drill)) as shown:
        return drills.wait(
            connection,
            drill,
            stack=stack,
            timeout_seconds=timeout_seconds,
            report=lambda seen: shown.update(_going(seen)),
        )


def show(drill: Drill) -> None:
    """Print one drill for people."""
    facts = (
        ("restore", drill.drill_id),
        ("target", _target(drill)),
        ("state", _verdict(drill)),
        ("doing", None if drill.ended else drill.step),
        ("backup", drill.label),
        ("size", size(drill.restored_bytes)),
        ("ended at", drill.reached_lsn),
        ("last commit", moment(drill.reached_time)),
        ("target in the store after", _seconds(drill.archived_seconds)),
        ("pgbackrest restore alone", _seconds(drill.restore_seconds)),
        ("until the copy was open", _seconds(drill.recovery_seconds)),
        ("everything", _seconds(drill.total_seconds)),
        ("made with", made_with(drill.evidence)),
        ("kept", f"on {drill.node}" if drill.keep and drill.ended else None),
        ("error", drill.error),
    )
    console.print(table("Restore", ("", ""), [row for row in facts if row[1] is not None]))
    if drill.findings:
        rows = [(Text("ok" if f.passed else "WRONG", "green" if f.passed else "bold red"),
                 f.check, f.detail) for f in drill.findings]  # fmt: skip
        console.print(table("Compared", ("", "check", "found"), rows))


def show_cluster_restore(done: ClusterRestore) -> None:
    """Print one restore of the cluster for people."""
    rows = (
        ("restore", done.restore_id),
        ("target", _aimed(done)),
        ("state", Text(done.verdict, STYLES.get(done.verdict, ""))),
        ("backup", done.label),
        ("ended at", done.reached_lsn),
        ("last commit", moment(done.reached_time)),
        ("left timeline", done.abandoned_timeline),
        ("stopped", moment(done.abandoned_at)),
        ("facts applied", moment(done.facts_applied_at)),
        ("undone", moment(done.undone_at)),
        ("all steps", _seconds(done.seconds)),
        ("made with", made_with(done.evidence)),
    )
    console.print(table("Restore of the cluster", ("", ""), [r for r in rows if r[1] is not None]))
    if done.evidence:
        steps = [
            (stage["name"], stage["outcome"], _seconds(stage["seconds"]))
            for stage in done.evidence["stages"]
        ]
        console.print(table("Steps", ("step", "outcome", "took"), steps))


def _going(drill: Drill) -> str:
    return f"{drill.drill_id}: {drill.step or 'waits for the drill machine'}"


def _target(drill: Drill) -> str:
    if drill.target_type == "point":
        return "a point made for it"
    return _aimed(drill)


def _aimed(done: Drill | ClusterRestore) -> str:
    return f"{done.target_type} {done.target}{'' if done.inclusive else ', exclusive'}"


def _verdict(drill: Drill) -> Text:
    verdict = drill.verdict or drill.status
    return Text(verdict, STYLES.get(verdict, ""))


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} s"


def _cells(done: Drill | ClusterRestore) -> tuple[object, ...]:
    if isinstance(done, ClusterRestore):
        return (
            done.restore_id,
            f"the cluster to {_aimed(done)}",
            done.label,
            Text(done.verdict, STYLES.get(done.verdict, "")),
            None,
            None,
            None,
            _seconds(done.seconds),
            moment(done.restored_at),
        )
    return _drill_cells(done)


def _drill_cells(drill: Drill) -> tuple[object, ...]:
    return (
        drill.drill_id,
        _target(drill),
        drill.label,
        _verdict(drill),
        _seconds(drill.archived_seconds),
        _seconds(drill.restore_seconds),
        _seconds(drill.recovery_seconds),
        _seconds(drill.total_seconds),
        moment(drill.completed_at or drill.requested_at),
    )
