"""`guestcomms restore cluster`: the whole cluster back to a moment, with what guests decided since.

Registered by `cli.restore`, whose group it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from guestcomms import cluster_restore, db, health, hints, restore_plan
from guestcomms.cli.common import (
    JsonOption,
    YesOption,
    confirm_by_name,
    console,
    load_stack,
    moment,
    print_json,
    progress,
    size,
    table,
)
from guestcomms.cli.progress import Stages
from guestcomms.cluster_restore import Restore
from guestcomms.errors import GuestcommsError, RefusedError, UsageError
from guestcomms.restore_plan import Plan
from guestcomms.restore_record import Ledger, Record, how_to_go_on
from guestcomms.stack import Stack

WAIT_SECONDS = 4 * 3600.0
ONE_OF = "Give one of --to TARGET, --resume, --abort and --status."


def restore_cluster(
    context: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="A time with its zone, a recovery point's id, an LSN or a transaction's number;"
            " time:, name:, lsn: or xid: in front says which.",
        ),
    ] = None,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="Without what lies exactly at the target.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be done.")] = False,
    look: Annotated[
        bool,
        typer.Option("--look", help="Stop once there is a copy to look at; --resume goes on."),
    ] = False,
    copy: Annotated[
        bool,
        typer.Option(help="Restore beside the cluster first, and compare where it ended."),
    ] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the restore that is under way.")
    ] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Put the old data back; what came since is lost.")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="MACHINE",
            help="With --abort: do without a machine that is gone; what only it had is lost.",
        ),
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Say which restore is under way, and where it stands.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Wait no longer for any one step.")
    ] = WAIT_SECONDS,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Bring the whole cluster back to a moment, after a plan and after asking.

    What guests decided and what was sent after that moment is taken from the old data and applied.
    Sending stays frozen until `restore thaw`; the old data stays until `restore release`.
    """
    if sum((to is not None, resume, abort, status)) != 1:
        raise UsageError(ONE_OF)
    if without and not abort:
        raise UsageError("--without says with which machines --abort does; give both, or neither.")
    stack = load_stack(context)
    ledger = Ledger(stack)
    if status:
        _tell(ledger.read(), stack, json)
    elif abort:
        _abort(stack, ledger, timeout, without=without or [], yes=yes, json=json)
    elif resume:
        ledger.read()
        ledger.must_be("")
        with ledger.held():
            _go_on(stack, ledger, timeout, look=look, copy=copy, yes=yes)
        _tell(ledger.found, stack, json)
    else:
        _begin(stack, ledger, str(to), inclusive=not exclusive, only_plan=plan, look=look,
               copy=copy, timeout=timeout, yes=yes, json=json)  # fmt: skip


def thaw(context: typer.Context, yes: YesOption = False, json: JsonOption = False) -> None:
    """Let messages be sent again, once a restored cluster was told what it has to know.

    Asks first: what is queued goes out within seconds, and cannot be called back.
    """
    stack = load_stack(context)
    with db.connect(
        stack.dsn("ops"), application_name="guestcomms restore", autocommit=True
    ) as connection:
        frozen = db.rows(connection, "SELECT frozen, reason FROM internal.sending_state")[0]
        if frozen["frozen"] and not yes:
            confirm_by_name(
                stack.name,
                f"Sending is frozen ({frozen['reason']}). What is queued in stack {stack.name} goes"
                " out from now on.",
            )
        try:
            thawed = bool(db.one_value(connection, "SELECT public.thaw_sending()"))
        except db.DatabaseError as error:
            hint = error.diag.message_hint
            raise RefusedError(f"{db.first_line(error)}. {hint or ''}".rstrip()) from None
    if json:
        print_json({"thawed": thawed})
    else:
        console.print("Messages are sent again." if thawed else "Sending was not frozen.")


def release_cluster(stack: Stack, restore_id: str, *, yes: bool, json: bool) -> None:
    """Delete the old data of a restore that is done. Raises `RefusedError` where it is not."""
    ledger = Ledger(stack)
    record = ledger.read()
    if record is None or record.restore_id != restore_id:
        raise RefusedError(f"There is no restore {restore_id} whose old data is kept.")
    ledger.must_be("releasing")
    if not record.has_done("done"):
        raise RefusedError(
            f"{restore_id} is not done ({record.step}); go on with"
            f" {hints.command('restore cluster --resume', stack.name)}."
        )
    if not yes:
        confirm_by_name(
            stack.name,
            f"This deletes the data that stack {stack.name} had before {restore_id}, on"
            f" {', '.join(record.machines)}. There is no way back then.",
        )
    with ledger.held():
        Restore(stack, ledger, _say, WAIT_SECONDS).release()
    if json:
        print_json({"restore_id": restore_id, "released": True})
    else:
        console.print(f"The old data of {restore_id} is deleted.")


def _begin(
    stack: Stack, ledger: Ledger, to: str, *, inclusive: bool, only_plan: bool, look: bool,
    copy: bool, timeout: float, yes: bool, json: bool,
) -> None:  # fmt: skip
    there = ledger.read()
    said = there and f"{there.restore_id} is {there.state}; {how_to_go_on(there, stack.name)}."
    if there and said and not there.serves:  # there is nothing to plan with
        raise RefusedError(said)
    leader = None
    with suppress(GuestcommsError):
        leader = health.ask(stack).leader
    made = restore_plan.make(stack, to, inclusive=inclusive, leader=leader)
    if only_plan and json:
        print_json(made.model_dump())
    elif only_plan or not json:
        (console if only_plan else progress).print(show(made))
    if said:
        made.problems.append(said)
    if made.problems:
        raise RefusedError(
            f"Stack {stack.name} cannot be restored to {made.target}: {' '.join(made.problems)}"
        )
    if only_plan:
        return
    if copy and leader is None:
        raise RefusedError(
            f"No machine of stack {stack.name} leads, so no copy can be asked for; give --no-copy"
            " to restore without one, or --to the end of the archive by `guestcomms:bootstrap`."
        )
    if not yes:
        confirm_by_name(stack.name, _warning(made))
    record = cluster_restore.new_record(made, stack.machines("database"))
    with ledger.held(begin=record):
        _go_on(stack, ledger, timeout, look=look, copy=copy, yes=yes)
    _tell(ledger.found, stack, json)


def _go_on(
    stack: Stack, ledger: Ledger, timeout: float, *, look: bool, copy: bool, yes: bool
) -> None:
    """Do what is left to do. Raises whatever a step raises: the record says where it stands."""
    ledger.must_be("")
    record = ledger.get()
    stages = Stages.going_on(
        f"{record.restore_id}-{stack.name}", record.started_at.isoformat(), record.stages
    )
    restore = Restore(stack, ledger, _say, timeout)
    steps = _steps(restore, copy=copy)
    for step, (title, act) in steps.items():
        if ledger.get().has_done(step):
            continue
        if step == "frozen" and copy:
            _show_copy(ledger.get(), stack)
            if look:
                return
            if not yes:
                confirm_by_name(
                    stack.name, f"Stack {stack.name} stops now, and goes back to its target."
                )
        try:
            with stages.stage(title):
                act()
        finally:
            with suppress(GuestcommsError):  # what stopped us counts
                ledger.save(stages=tuple(asdict(stage) for stage in stages.ended))
    restore.document()


def _steps(restore: Restore, *, copy: bool) -> Mapping[str, tuple[str, Callable[[], None]]]:
    return {
        "copied": (
            "Restore beside the cluster and compare" if copy else "No copy, as was asked for",
            restore.copy if copy else restore.without_copy,
        ),
        "frozen": ("Freeze sending", restore.freeze),
        "stopped": ("Stop the cluster", restore.stop),
        "aside": ("Move the old data aside", restore.aside),
        "facts": ("Read what was decided and sent since", restore.facts),
        "restored": ("Restore", restore.restore),
        "told": ("Tell the restored database", restore.tell_facts),
        "whole": ("Make the standbys anew", restore.standbys),
        "done": ("Take a full backup", restore.backup),
    }


def _abort(
    stack: Stack, ledger: Ledger, timeout: float, *, without: list[str], yes: bool, json: bool
) -> None:
    ledger.read()
    ledger.must_be("aborting")
    record = ledger.get()
    if unknown := set(without) - set(record.machines):
        raise UsageError(f"{record.restore_id} has no machine {', '.join(sorted(unknown))}.")
    if not set(record.machines) - set(without):
        raise UsageError("--without leaves no machine.")
    if not yes:
        lost = "and what was written to the restored cluster is lost"
        gone = f", without {', '.join(without)}: what only they had is lost" if without else ""
        confirm_by_name(
            stack.name,
            f"This puts the data from before {record.restore_id} back"
            f"{f', {lost}' if record.has_done('restored') else ''}{gone}.",
        )
    with ledger.held():
        Restore(stack, ledger, _say, timeout).undo(without)
    if json:
        print_json({"restore_id": record.restore_id, "aborted": True, "without": without})
        return
    console.print(f"{record.restore_id} is undone: the cluster has its old data.")
    if without:
        console.print(
            f"{', '.join(without)} has not: mend it, with {hints.up(stack.name)} where it has to be"
            f" made anew, then {hints.command('restore cluster --abort', stack.name)} again."
        )


def _say(sentence: str) -> None:
    progress.print(Text(f"  {sentence}", "dim"))


def _warning(plan: Plan) -> str:
    lost = f"{plan.lost_seconds:.0f} s of writes" if plan.lost_seconds else "all writes since"
    return (
        f"This stops stack {plan.stack} and takes it back to {plan.target}: {lost} are not in it"
        " afterwards. The old data is kept until it is released."
    )


def show(plan: Plan) -> object:
    """A plan for people."""
    rows = (
        ("stack", plan.stack),
        ("to", plan.target),
        ("backup", f"{plan.backup} ({plan.type}, whole at {moment(plan.completed_at)})"
         if plan.backup else None),
        ("size", size(plan.size)),
        ("write-ahead log", f"{plan.segments} segments, {plan.missing} missing"),
        ("archived until", moment(plan.archived_until)),
        ("restored on", f"{plan.machine}; the others are made anew from it"),
        ("timeline", f"{plan.timeline} is left for a new one"),
        ("room", ", ".join(f"{name} {size(free)}" for name, free in plan.free.items())
         + f"; {size(plan.needed)} needed on each"),
        ("lost", None if plan.lost_seconds is None else f"{plan.lost_seconds:.0f} s of writes"),
        ("made since", ", ".join(f"{count if count is not None else '?'} {what}"
                                 for what, count in plan.lost_rows.items()) or None),
        ("stays in force", "unsubscribes, suppressions, withdrawals, erasures, what was sent"),
        ("takes about", None if plan.estimate_seconds is None else
         f"{plan.estimate_seconds:.0f} s, from {plan.estimate_from} drills"),
        ("cannot be done", Text(" ".join(plan.problems), "bold red") if plan.problems else None),
    )  # fmt: skip
    return table("Plan", ("", ""), [row for row in rows if row[1] is not None])


def _show_copy(record: Record, stack: Stack) -> None:
    progress.print(
        f"The copy of {record.drill_id} on the drill machine ends at {record.copy_lsn}; look at it"
        f" with {hints.command('shell drill-1', stack.name)}: psql -h"
        f" /var/lib/postgresql/drill/{record.drill_id} -U postgres {stack.outputs.database}"
    )


def _tell(record: Record | None, stack: Stack, json: bool) -> None:
    if json:
        print_json(record.model_dump(mode="json") if record else None)
    elif record is None:
        console.print(f"No restore of stack {stack.name} is under way.")
    else:
        console.print(_table(record))
        if record.has_done("done") and not record.aborting and not record.releasing:
            console.print(
                "Sending is frozen. Look at the cluster, then"
                f" {hints.command('restore thaw', stack.name)}, and when you are sure"
                f" {hints.command(f'restore release {record.restore_id}', stack.name)}."
            )


def _table(record: Record) -> object:
    facts = record.facts or {}
    given = ", ".join(
        f"{kind} {count['applied']} of {count['given']}" if isinstance(count, dict)
        else f"{kind} {count}"
        for kind, count in facts.items()
    )  # fmt: skip
    rows = (
        ("restore", record.restore_id),
        ("to", record.target),
        ("state", record.state),
        ("done", record.step),
        ("backup", record.label),
        ("restored on", record.machine),
        ("copy", record.drill_id),
        ("ended at", record.reached_lsn),
        ("left timeline", record.abandoned_timeline),
        ("stopped", record.abandoned_at),
        ("facts", given or None),
    )
    return table("Restore of the cluster", ("", ""), [r for r in rows if r[1] is not None])
