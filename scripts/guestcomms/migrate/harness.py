"""The five stages of a run, and the questions that can be asked without one.

1. a direct connection and an advisory lock (`session`)
2. migrations/SUMS and the checksums in the ledger (`sums`, `versions`)
3. versioned migrations (`versions`)
4. functions/ (views and jobs too) and policies/ (`repeatable`)
5. verification (`verify`)
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from guestcomms import db, paths
from guestcomms.errors import RefusedError, UnhealthyError, UsageError
from guestcomms.migrate import ledger, prerequisites, repeatable, sums, verify, versions
from guestcomms.migrate.blockers import Tell
from guestcomms.migrate.prerequisites import Missing
from guestcomms.migrate.project import Migration, Project
from guestcomms.migrate.repeatable import Change
from guestcomms.migrate.session import Patience, Session, connect, look_as_owner, open_session
from guestcomms.migrate.verify import Problem

PROJECT = Project(paths.ROOT)


def be_silent(_message: str) -> None:
    """For callers who do not want to hear what a run waits for."""


@dataclass(frozen=True)
class Plan:
    """What there is, what would be applied, and what is wrong with the schema.

    `skipped`: paths of the jobs that `apply` leaves out, because nothing schedules jobs there.
    """

    target: str
    applied: tuple[str, ...]
    pending: tuple[Migration, ...]
    changes: tuple[Change, ...]
    problems: tuple[Problem, ...]
    missing: tuple[Missing, ...]
    skipped: tuple[str, ...] = ()

    @property
    def to_apply(self) -> list[str]:
        """Paths of the files that `apply` would apply, in order."""
        return [*(one.path for one in self.pending), *(one.file.path for one in self.changes)]


@dataclass(frozen=True)
class Run:
    """What a run did: paths of the files, in the order in which they were applied."""

    target: str
    migrations: tuple[str, ...]
    repeatables: tuple[str, ...]
    skipped: tuple[str, ...]
    seconds: float = field(compare=False)


def plan(dsn: str, project: Project = PROJECT) -> Plan:
    """Compare a database with the tree; reads only, waits for nobody.

    Raises `RefusedError` if the tree cannot be applied to it as it is: SUMS or a checksum differs,
    the database is ahead, or a file is gone whose object is not.
    """
    sums.check(project)
    with connect(dsn) as connection:
        target = db.describe(dsn)
        missing = tuple(prerequisites.missing(connection))
        if any(one.blocks for one in missing):
            return Plan(target, (), tuple(project.migrations()), (), (), missing)
        look_as_owner(connection)
        return _compare(connection, project, target, missing)


def apply(
    dsn: str,
    project: Project = PROJECT,
    patience: Patience | None = None,
    tell: Tell = be_silent,
) -> Run:
    """Bring a database to what the tree says; a second call changes nothing.

    Parameters: `dsn` leads to the leader itself, past any pooler; `tell` hears what a run waits
    for. Raises `RefusedError` (a person has to change something), `BusyError` (somebody is in the
    way), `UnreachableError`, or `UnhealthyError` if the schema is applied and not as it must be.
    """
    started = time.monotonic()
    sums.check(project)
    _check_prerequisites(dsn)
    with open_session(dsn, patience or Patience(), tell) as session:
        migrations = _apply_migrations(session, project)
        files = _apply_repeatables(session, project)
        skipped = tuple(repeatable.skipped(session.connection, project))
        problems = verify.problems(session.connection, project)
    if problems:
        raise UnhealthyError(f"Everything is applied, but there is {problems[0]}.")
    return Run(session.target, migrations, files, skipped, time.monotonic() - started)


def rollback_plan(dsn: str, count: int, project: Project = PROJECT) -> list[Migration]:
    """The newest `count` applied migrations, newest first; reads only.

    Raises `RefusedError` if one of them cannot be rolled back, `UsageError` if there are fewer.
    """
    found = plan(dsn, project)
    by_id = {migration.id: migration for migration in project.migrations()}
    newest = [by_id[migration_id] for migration_id in sorted(found.applied, reverse=True)[:count]]
    if len(newest) < count:
        raise UsageError(
            f"{found.target} has {len(newest)} migrations applied, {count} cannot be rolled back;"
            " see `.venv/bin/guestcomms migrate status`."
        )
    for migration in newest:
        if migration.rollback_file is None and migration.file.suffix == ".sql":
            raise RefusedError(
                f"{migration.path} has no rollback file; write migrations/{migration.id}"
                ".rollback.sql, or a new migration that repairs forward."
            )
    return newest


def rollback(
    dsn: str,
    expected: list[Migration],
    project: Project = PROJECT,
    patience: Patience | None = None,
    tell: Tell = be_silent,
) -> Run:
    """Take back exactly the migrations of a `rollback_plan`, newest first.

    Functions and policies that still have their tables stay as they are. Raises as `apply`, and
    `RefusedError` if the newest applied migrations are other ones by now.
    """
    started = time.monotonic()
    with open_session(dsn, patience or Patience(), tell) as session:
        applied = sorted(versions.applied_ids(session.connection), reverse=True)
        if applied[: len(expected)] != [migration.id for migration in expected]:
            raise RefusedError(
                "The newest applied migrations are not those of the plan any more, somebody else"
                " migrated in between; look at the new plan and decide again."
            )
        for migration in expected:
            tell(f"rolling back {migration.path}")
            versions.rollback_one(session, project, migration)
    rolled_back = tuple(migration.path for migration in expected)
    return Run(session.target, rolled_back, (), (), time.monotonic() - started)


def new(name: str, project: Project = PROJECT) -> list[Path]:
    """Write the two empty files of a new migration with the next number; returns them.

    Raises `UsageError` for a name that is not made of a-z, 0-9 and single hyphens.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise UsageError(
            f"{name!r} cannot be a migration's name; use a-z, 0-9 and hyphens: add-note-to-guests."
        )
    numbers = [int(migration.id[:4]) for migration in project.migrations()]
    stem = f"{max(numbers, default=0) + 1:04}.{name}"
    forward = project.migrations_folder / f"{stem}.sql"
    backward = project.migrations_folder / f"{stem}.rollback.sql"
    forward.write_text(_FORWARD, encoding="utf-8")
    backward.write_text(_BACKWARD, encoding="utf-8")
    return [forward, backward]


def write_sums(edited: Iterable[str] = (), project: Project = PROJECT) -> list[str]:
    """Note the checksums of new migrations in SUMS; see `sums.write`."""
    return sums.write(project, frozenset(edited))


def _apply_migrations(session: Session, project: Project) -> tuple[str, ...]:
    applied = versions.applied_ids(session.connection)
    versions.check_applied(project, applied, ledger.read(session.connection))
    pending = [one for one in project.migrations() if one.id not in applied]
    for migration in pending:
        session.tell(f"applying {migration.path}")
        versions.apply_one(session, project, migration)
    return tuple(migration.path for migration in pending)


def _apply_repeatables(session: Session, project: Project) -> tuple[str, ...]:
    entries = ledger.read(session.connection)
    gone = repeatable.leftovers(session.connection, project, entries)
    todo = repeatable.changes(session.connection, project, entries)
    if todo:
        session.tell(f"applying {len(todo)} files of functions/ and policies/")
    repeatable.apply(session, project, todo, gone)
    return tuple(change.file.path for change in todo)


def _compare(
    connection: db.Connection, project: Project, target: str, missing: tuple[Missing, ...]
) -> Plan:
    applied = versions.applied_ids(connection)
    entries = ledger.read(connection)
    versions.check_applied(project, applied, entries)
    repeatable.leftovers(connection, project, entries)
    return Plan(
        target=target,
        applied=tuple(applied),
        pending=tuple(one for one in project.migrations() if one.id not in applied),
        changes=tuple(repeatable.changes(connection, project, entries)),
        problems=tuple(verify.problems(connection, project)) if applied else (),
        missing=missing,
        skipped=tuple(repeatable.skipped(connection, project)),
    )


def _check_prerequisites(dsn: str) -> None:
    with connect(dsn) as connection:
        blocking = [one for one in prerequisites.missing(connection) if one.blocks]
    if blocking:
        names = ", ".join(map(str, blocking))
        raise RefusedError(
            f"{db.describe(dsn)} lacks what migrations build on: {names}; a superuser makes it, and"
            " `.venv/bin/guestcomms migrate check` prints the statements."
        )


_FORWARD = """\
-- What this changes, in one line.
-- Why, or which issue asks for it.
-- Locks: which, on which table, for how long.
"""
_BACKWARD = """\
-- Takes back, in order, what the migration does; what cannot come back (dropped data) is said here.
"""
