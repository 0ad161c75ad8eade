"""`guestcomms backup`: ask for backups, have them checked, and see what could be restored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from guestcomms import backup_checks, backups, db, hints
from guestcomms.backup_checks import Check, Kind, Window
from guestcomms.cli.common import (
    JsonOption,
    console,
    load_stack,
    made_with,
    moment,
    print_json,
    progress,
    settings,
    size,
    table,
)
from guestcomms.errors import GuestcommsError, UnhealthyError
from guestcomms.stack import Stack

app = typer.Typer(no_args_is_help=True, help="Backups in the store, as the ledger tells them.")
WAIT_SECONDS = 3600.0
VERIFY_SECONDS = 24 * 3600.0
AUDIT_IS_OLD = timedelta(hours=3)
BAR = 60
"""Characters of a bar that stands for all the time from the first moment to now."""
STYLES = {
    "completed": "green", "sound": "green", "running": "cyan", "requested": "cyan",
    "failed": "red", "damaged": "red", "expired": "dim",
}  # fmt: skip

WaitOption = Annotated[bool, typer.Option(help="Until there is a verdict.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="So many newest.")]


class BackupType(StrEnum):
    """What pgBackRest can take."""

    FULL = "full"
    INCREMENTAL = "incremental"
    DIFFERENTIAL = "differential"


@app.command("run")
def run_backup(
    context: typer.Context,
    backup_type: Annotated[
        BackupType, typer.Argument(metavar="[TYPE]", help="full, incremental or differential.")
    ] = BackupType.INCREMENTAL,
    wait: Annotated[bool, typer.Option(help="Until it has completed or failed.")] = True,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Wait no longer than this.")
    ] = WAIT_SECONDS,
    json: JsonOption = False,
) -> None:
    """Take a backup now: write a request into the ledger, which a node agent carries out."""
    stack = load_stack(context)
    with connect(stack) as connection:
        backup = backups.request(connection, backup_type)
        if wait:
            backup = await_completion(connection, stack.name, backup, timeout)
    if json:
        print_json(backup.model_dump())
    else:
        console.print(describe(backup))


@app.command("list")
def list_backups(
    context: typer.Context,
    limit: LimitOption = 20,
    json: JsonOption = False,
) -> None:
    """List the newest backups."""
    with connect(load_stack(context)) as connection:
        found = backups.newest(connection, limit)
    if json:
        print_json([backup.model_dump() for backup in found])
        return
    columns = (
        "backup",
        "type",
        "status",
        "label",
        "size",
        "in the store",
        "by",
        "asked for",
        "completed",
    )
    console.print(table("Backups", columns, [_cells(backup) for backup in found]))
    for backup in found:
        if backup.status == "failed":
            console.print(f"{backup.backup_id} failed: {backup.error}", markup=False)


@app.command("show")
def show_backup(
    context: typer.Context,
    backup: Annotated[
        str, typer.Argument(metavar="BACKUP", help="Its id (backup_…) or pgBackRest's label.")
    ],
    json: JsonOption = False,
) -> None:
    """Show everything that is known of one backup; `evidence` of --json is its document."""
    with connect(load_stack(context)) as connection:
        facts = backups.facts(connection, backup)
    if facts is None:
        todo = hints.command("backup list", settings(context).stack)
        raise GuestcommsError(f"There is no backup {backup}: {todo} names them.")
    if json:
        print_json(facts)
    else:
        document = facts.pop("evidence")
        rows = [(name, _shown(name, value)) for name, value in facts.items()]
        rows.append(("made with", made_with(document)))
        console.print(table(f"Backup {facts['backup_id']}", ("", ""), rows))


@app.command("audit-wal")
def audit_wal(
    context: typer.Context,
    wait: WaitOption = True,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Wait no longer than this.")
    ] = WAIT_SECONDS,
    json: JsonOption = False,
) -> None:
    """Audit the archive: is every WAL segment there, from the oldest full backup to now?

    Follows history across timelines and tells abandoned ones apart. The leader's agent does it each
    hour and after each backup too. Exit code 0 only if nothing was found.
    """
    _check(context, "wal_audit", wait=wait, timeout_seconds=timeout, json=json)


@app.command("verify")
def verify(
    context: typer.Context,
    wait: WaitOption = True,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Wait no longer than this.")
    ] = VERIFY_SECONDS,
    json: JsonOption = False,
) -> None:
    """Verify the store: read every file of it and compare it with its checksum.

    Takes as long as reading the repository takes; the leader's agent does it each week too. Exit
    code 0 only if nothing was found.
    """
    _check(context, "verification", wait=wait, timeout_seconds=timeout, json=json)


@app.command("checks")
def list_checks(context: typer.Context, limit: LimitOption = 20, json: JsonOption = False) -> None:
    """List the newest audits and verifications; --json has the evidence of each."""
    with connect(load_stack(context)) as connection:
        found = backup_checks.newest(connection, limit)
    if json:
        print_json([check.model_dump(mode="json") for check in found])
        return
    columns = ("check", "kind", "status", "verdict", "findings", "took", "by", "ended")
    console.print(table("Checks of the store", columns, [_check_cells(one) for one in found]))
    for check in found:
        if check.status == "failed":
            console.print(f"{check.check_id} failed: {check.error}", markup=False)


@app.command("timeline")
def timeline(context: typer.Context, json: JsonOption = False) -> None:
    """Show to which moments the cluster could be restored, as the last audit of the WAL saw it.

    Exit code 0 only if the present is one of them.
    """
    stack = load_stack(context)
    with connect(stack) as connection:
        check = backup_checks.last_completed(connection, "wal_audit")
    todo = hints.command("backup audit-wal", stack.name)
    if check is None or check.evidence is None or check.ended_at is None:
        raise UnhealthyError(f"Nobody knows yet: no audit of the WAL has ended; run {todo}.")
    evidence, windows = check.evidence, check.evidence.restorable
    if json:
        print_json(
            {
                "check_id": check.check_id,
                "audited_at": check.ended_at,
                "windows": [one.model_dump(mode="json") for one in windows],
                "timelines": evidence.timelines,
            }
        )
    else:
        _print_windows(windows, evidence.findings, check.ended_at)
        columns = ("timeline", "segments", "first", "last", "backups", "")
        console.print(
            table("Timelines in the archive", columns, map(_line_cells, evidence.timelines))
        )
    if datetime.now(UTC) - check.ended_at > AUDIT_IS_OLD:
        raise UnhealthyError(f"The audit is of {moment(check.ended_at)}: run {todo}.")
    if not windows or windows[-1].to is not None:
        raise UnhealthyError(
            "The present cannot be restored: take a full backup with"
            f" {hints.command('backup run full', stack.name)} once archiving works."
        )


def connect(stack: Stack) -> db.Connection:
    """A connection that may request and read backups."""
    return db.connect(stack.dsn("ops"), application_name="guestcomms backup", autocommit=True)


def await_completion(
    connection: db.Connection,
    stack: str,
    backup: backups.Backup,
    timeout_seconds: float = WAIT_SECONDS,
) -> backups.Backup:
    """Wait for a backup and show how it goes on. Raises as `backups.wait`."""
    with progress.status(describe(backup)) as shown:
        return backups.wait(
            connection,
            backup,
            stack=stack,
            timeout_seconds=timeout_seconds,
            report=lambda seen: shown.update(describe(seen)),
        )


def describe(backup: backups.Backup) -> str:
    """A backup in one line."""
    line = f"{backup.backup_type} backup {backup.backup_id}: {backup.status}"
    if backup.label:
        line += f" as {backup.label}"
    if backup.repository_size_bytes is not None:
        line += f", {size(backup.repository_size_bytes)} in the store"
    return line


def _cells(backup: backups.Backup) -> tuple[object, ...]:
    return (
        backup.backup_id,
        backup.backup_type,
        _coloured(backup.status),
        backup.label,
        size(backup.backup_size_bytes),
        size(backup.repository_size_bytes),
        backup.node,
        moment(backup.requested_at),
        moment(backup.completed_at),
    )


def _shown(name: str, value: object) -> object:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, int) and name.endswith("_bytes"):
        return size(value)
    return _coloured(str(value)) if name == "status" else value


def _coloured(word: str | None) -> Text | None:
    return None if word is None else Text(word, STYLES.get(word, ""))


def _check(
    context: typer.Context, kind: Kind, *, wait: bool, timeout_seconds: float, json: bool
) -> None:
    """Ask for a check, wait for its verdict and print it.

    Raises `UnhealthyError` if it found anything, and as `backup_checks.wait`.
    """
    stack = load_stack(context)
    with connect(stack) as connection:
        check = backup_checks.request(connection, kind)
        if wait:
            with progress.status(_one_line(check)) as shown:
                check = backup_checks.wait(
                    connection,
                    check,
                    stack=stack.name,
                    timeout_seconds=timeout_seconds,
                    report=lambda seen: shown.update(_one_line(seen)),
                )
    if json:
        print_json(check.model_dump(mode="json"))
    else:
        _print_check(check)
    if check.verdict == "damaged" and check.evidence:
        raise UnhealthyError(
            f"{len(check.evidence.findings)} findings; what to do: docs/runbooks/"
            f"{'WalGap' if kind == 'wal_audit' else 'BackupDamaged'}.md."
        )


def _print_check(check: Check) -> None:
    console.print(_one_line(check))
    if check.evidence is None:
        return
    rows = [
        (name.replace("_", " "), _figure(name, value))
        for name, value in sorted(check.evidence.figures.items())
    ]
    console.print(table(f"Figures, after {check.evidence.seconds:.1f} s", ("", ""), rows))
    for finding in check.evidence.findings:
        console.print(Text.assemble(("✗ ", "red"), str(finding["what"])))


def _figure(name: str, value: float) -> object:
    if name.endswith("_bytes"):
        return size(int(value))
    if name.endswith("_seconds"):
        return str(timedelta(seconds=round(value)))
    return f"{value:g}"


def _one_line(check: Check) -> str:
    colour = STYLES.get(check.verdict or check.status, "")
    state = check.verdict or check.status
    return f"{check.kind.replace('_', ' ')} {check.check_id}: [{colour}]{state}[/{colour}]"


def _check_cells(check: Check) -> tuple[object, ...]:
    evidence = check.evidence
    return (
        check.check_id,
        check.kind.replace("_", " "),
        _coloured(check.status),
        _coloured(check.verdict),
        len(evidence.findings) if evidence else None,
        f"{evidence.seconds:.1f} s" if evidence else None,
        check.node,
        moment(check.ended_at),
    )


def _line_cells(line: dict[str, object]) -> tuple[object, ...]:
    left = Text("abandoned", "dim") if line["abandoned"] else ""
    return (line["timeline"], line["segments"], line["first"], line["last"], line["backups"], left)


def _print_windows(
    windows: list[Window], findings: list[dict[str, object]], audited_at: datetime
) -> None:
    columns = ("from", "to", "for", "first backup")
    rows = [
        (
            moment(one.since),
            moment(one.to) or Text("now", "green"),
            str(timedelta(seconds=round(((one.to or audited_at) - one.since).total_seconds()))),
            one.backup,
        )
        for one in windows
    ]
    title = f"Moments that can be restored, audited {moment(audited_at)}"
    console.print(table(title, columns, rows))
    if windows:
        console.print(bar(windows, audited_at))
    for finding in findings:
        console.print(Text.assemble(("✗ ", "red"), str(finding["what"])))


def bar(windows: list[Window], now: datetime, width: int = BAR) -> Text:
    """All the time from the first moment to `now` in `width` characters.

    A character is a block where all of its share of the time can be restored, a dot where not.
    """
    first = windows[0].since
    share = max((now - first) / width, timedelta(seconds=1e-6))
    drawn = Text("|")
    for place in range(width):
        begin, end = first + share * place, first + share * (place + 1)
        whole = any(one.since <= begin and (one.to is None or end <= one.to) for one in windows)
        drawn.append("█" if whole else "·", "green" if whole else "red")
    return drawn.append("|")
