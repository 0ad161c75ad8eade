"""internal.applied_sql: which file was applied with which content.

The table is made by the first migration, so everything here copes with its absence.
"""

from __future__ import annotations

from dataclasses import dataclass

from guestcomms import db


@dataclass(frozen=True)
class Entry:
    """A file as it was last applied; `catalogue_sha256` is None for a migration."""

    sha256: str
    catalogue_sha256: str | None


def read(connection: db.Connection) -> dict[str, Entry]:
    """All entries by path; none if there is no ledger yet."""
    if not _exists(connection):
        return {}
    rows = db.rows(connection, "SELECT path, sha256, catalogue_sha256 FROM internal.applied_sql")
    return {row["path"]: Entry(row["sha256"], row["catalogue_sha256"]) for row in rows}


def write(connection: db.Connection, path: str, entry: Entry) -> None:
    """Note that a file was applied now. Nothing is noted while there is no ledger."""
    if not _exists(connection):
        return
    connection.execute(
        """
        INSERT INTO internal.applied_sql AS known (path, sha256, catalogue_sha256)
        VALUES (%s, %s, %s)
        ON CONFLICT (path) DO UPDATE SET sha256 = excluded.sha256,
            catalogue_sha256 = excluded.catalogue_sha256,
            applied_at = pg_catalog.now(), applied_by = session_user
        """,
        (path, entry.sha256, entry.catalogue_sha256),
    )


def forget(connection: db.Connection, path: str) -> None:
    """Remove a file's entry, if there is one."""
    if _exists(connection):
        connection.execute("DELETE FROM internal.applied_sql WHERE path = %s", (path,))


def _exists(connection: db.Connection) -> bool:
    return bool(db.one_value(connection, "SELECT to_regclass('internal.applied_sql') IS NOT NULL"))
