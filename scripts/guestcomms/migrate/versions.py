"""Versioned migrations, through yoyo's Python API, on the harness's own connection.

yoyo's command would open connections of its own, keep a lock row that a killed run leaves behind,
and mark a migration as applied in a second transaction. Here its steps, its mark and our checksum
are one transaction, in the session that holds the advisory lock.
"""

from __future__ import annotations

import contextlib
import getpass
import re
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yoyo
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import parse_uri
from yoyo.migrations import Migration as YoyoMigration

from guestcomms import db
from guestcomms.errors import RefusedError
from guestcomms.migrate import indexes, ledger
from guestcomms.migrate.explain import refused
from guestcomms.migrate.project import Migration, Project
from guestcomms.migrate.session import SEARCH_PATH, Session

LEDGER_PATH = "internal"
"""search_path while yoyo reads and writes its own tables."""
MARKS = "internal._yoyo_migration"


_STEPWISE = re.compile(
    r"^--\s*transactional\s*:\s*false\s*$|^__transactional__ = False$", re.MULTILINE | re.IGNORECASE
)


class Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
    """yoyo's PostgreSQL backend on a connection that is open already."""

    def __init__(self, connection: db.Connection) -> None:
        self._given = connection
        self.search_path = LEDGER_PATH
        super().__init__(parse_uri("postgresql+psycopg:///"), "_yoyo_migration")
        self._is_locked = True  # by the session's advisory lock

    def connect(self, _uri: object) -> db.Connection:
        return self._given

    def init_connection(self, _connection: object) -> None:
        self.execute(f"SET search_path = {self.search_path}")

    def get_log_data(
        self, migration: YoyoMigration | None = None, operation: str = "apply"
    ) -> dict[str, Any]:
        """As yoyo does it, without asking the DNS for this machine's name, which can hang."""
        return {
            "id": str(uuid.uuid1()),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "username": getpass.getuser(),
            "hostname": socket.gethostname(),
            "created_at_utc": datetime.now(UTC).replace(tzinfo=None),
            "operation": operation,
        }


def applied_ids(connection: db.Connection) -> list[str]:
    """Ids of the applied migrations, in the order in which they were applied."""
    if not db.one_value(connection, "SELECT to_regclass(%s) IS NOT NULL", (MARKS,)):
        return []
    rows = db.rows(
        connection, "SELECT migration_id FROM internal._yoyo_migration ORDER BY applied_at_utc"
    )
    return [row["migration_id"] for row in rows]


def check_applied(project: Project, applied: list[str], entries: dict[str, ledger.Entry]) -> None:
    """Raise `RefusedError` if the database has a migration that the tree lacks, or has other."""
    known = {migration.id: migration for migration in project.migrations()}
    for migration_id in applied:
        migration = known.get(migration_id)
        if migration is None:
            raise RefusedError(
                f"The database has migration {migration_id}, which this tree does not have; use a"
                " tree at least as new as the one that was applied last."
            )
        entry = entries.get(migration.path)
        if entry is not None and entry.sha256 != migration.sha256:
            raise RefusedError(
                f"{migration.path} was edited after it was applied here; undo the edit"
                " (`git log -p` shows it) and write a new migration."
            )


def apply_one(session: Session, project: Project, migration: Migration) -> None:
    """Apply one migration and note it; a failure leaves nothing of a transactional one.

    Raises `RefusedError` with file and line for SQL that the server refuses, `BusyError` if a lock
    it needs stays taken.
    """
    with _backend(session) as backend:
        backend.ensure_internal_schema_updated()
        loaded = _load(project, migration)

        def note() -> None:
            backend.log_migration(loaded, "apply")
            backend.mark_one(loaded, log=False)
            ledger.write(session.connection, migration.path, ledger.Entry(migration.sha256, None))

        _attempt(
            session, migration, migration.file, _action(session, backend, loaded, "apply", note)
        )


def rollback_one(session: Session, project: Project, migration: Migration) -> None:
    """Take one migration back and forget it; raises as `apply_one`."""
    with _backend(session) as backend:
        loaded = _load(project, migration)

        def note() -> None:
            backend.log_migration(loaded, "rollback")
            backend.unmark_one(loaded, log=False)
            ledger.forget(session.connection, migration.path)

        file = migration.rollback_file or migration.file
        _attempt(session, migration, file, _action(session, backend, loaded, "rollback", note))


def _action(
    session: Session,
    backend: Backend,
    loaded: YoyoMigration,
    direction: Literal["apply", "rollback"],
    note: Callable[[], None],
) -> Callable[[], None]:
    """All of a migration in one transaction, or, where it says so, its steps one by one."""

    def at_once() -> None:
        with backend.transaction():
            backend.execute(f"SET LOCAL search_path = {SEARCH_PATH}")
            loaded.process_steps(backend, direction)
            backend.execute(f"SET LOCAL search_path = {LEDGER_PATH}")
            note()

    def step_by_step() -> None:
        _build_indexes_ourselves(session, loaded)
        backend.search_path = SEARCH_PATH  # yoyo starts with a ROLLBACK, which sets it
        loaded.process_steps(backend, direction)
        backend.search_path = LEDGER_PATH
        backend.init_connection(backend.connection)
        with backend.transaction():
            note()

    return at_once if loaded.use_transactions else step_by_step


def _build_indexes_ourselves(session: Session, loaded: YoyoMigration) -> None:
    for wrapper in loaded.steps:
        statement = wrapper.step._apply  # noqa: SLF001  # yoyo takes a callable in place of SQL
        if isinstance(statement, str) and (index := indexes.read(statement)):
            wrapper.step._apply = lambda _, index=index: indexes.build(session, index)  # noqa: SLF001


def _attempt(
    session: Session, migration: Migration, file: Path, action: Callable[[], None]
) -> None:
    try:
        # yoyo prints the rows of a SELECT: they are no result of ours.
        with contextlib.redirect_stdout(sys.stderr):
            session.patiently(f"migrations/{file.name}", action)
    except db.DatabaseError as error:
        if session.connection.broken:
            raise
        todo = "what came before is undone as far as its rollback goes: look, then correct it"
        if not is_stepwise(migration):
            todo = (
                "nothing of it was applied: correct it, run"
                f" `.venv/bin/guestcomms migrate sums --edited {file.name}`, and apply again"
            )
        text = file.read_text(encoding="utf-8")
        raise refused(f"migrations/{file.name}", text, error, todo) from error


def is_stepwise(migration: Migration) -> bool:
    """Whether the migration's header says that it cannot run in a transaction."""
    text = migration.file.read_text(encoding="utf-8")
    return bool(_STEPWISE.search(text))


@contextlib.contextmanager
def _backend(session: Session) -> Iterator[Backend]:
    try:
        yield Backend(session.connection)
    finally:
        if not session.connection.broken:
            session.connection.execute(
                "SELECT set_config('search_path', %s, false)", (SEARCH_PATH,)
            )


def _load(project: Project, migration: Migration) -> YoyoMigration:
    for candidate in yoyo.read_migrations(str(project.migrations_folder)):
        if candidate.id == migration.id:
            candidate.load()
            return candidate
    raise RefusedError(
        f"yoyo does not see {migration.path}; see `.venv/bin/guestcomms migrate status`."
    )
