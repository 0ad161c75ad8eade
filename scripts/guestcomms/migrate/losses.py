"""What a rollback destroys: the tables and columns that it drops, and how many rows have them.

Rows are counted by the statistics: an exact count would read every table whole, and row security
would hide them from the owner.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guestcomms import db
from guestcomms.migrate.project import Migration
from guestcomms.migrate.session import connect, look_as_owner

_COMMENT = re.compile(r"--[^\n]*")
_DROP_TABLE = re.compile(
    r"DROP TABLE (?:IF EXISTS )?([\w.,\s]+?)\s*(?:CASCADE|RESTRICT)?;", re.IGNORECASE
)
_ALTER_TABLE = re.compile(r"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?([\w.]+)\s([^;]*);", re.IGNORECASE)
_DROP_COLUMN = re.compile(r"DROP COLUMN (?:IF EXISTS )?(\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class Loss:
    """A table, or a column as table.column, and about how many rows it has; None: not counted."""

    migration: Migration
    what: str
    rows: int | None

    def __str__(self) -> str:
        rows = "rows that nobody counted" if self.rows is None else f"about {self.rows} rows"
        return f"{self.what}, {rows}"


def losses(dsn: str, migrations: Iterable[Migration]) -> list[Loss]:
    """What rollbacks written in SQL drop of what is there, in their order; reads only."""
    with connect(dsn) as connection:
        look_as_owner(connection)
        return [
            Loss(migration, what, row["rows"])
            for migration in migrations
            for table, what in dropped(migration)
            for row in db.rows(connection, _ESTIMATE, (table,))
        ]


def dropped(migration: Migration) -> Iterator[tuple[str, str]]:
    """The table, and what of it is dropped: itself or a column."""
    if migration.rollback_file is None:
        return
    text = _COMMENT.sub("", migration.rollback_file.read_text(encoding="utf-8"))
    for tables in _DROP_TABLE.findall(text):
        for table in re.split(r"\s*,\s*", tables):
            yield table, table
    for table, actions in _ALTER_TABLE.findall(text):
        for column in _DROP_COLUMN.findall(actions):
            yield table, f"{table}.{column}"


# The statistics know nothing of a table that nobody has touched since they were lost.
_ESTIMATE = """
SELECT CASE WHEN bool_and(leaf.known) THEN coalesce(sum(leaf.rows), 0)::bigint END AS rows
FROM pg_class AS whole
LEFT JOIN pg_partition_tree(whole.oid) AS part ON true
CROSS JOIN LATERAL (
    SELECT greatest(pg_stat_get_live_tuples(table_.oid), table_.reltuples, 0) AS rows,
        pg_relation_size(table_.oid) = 0 OR pg_stat_get_live_tuples(table_.oid) > 0
        OR table_.reltuples >= 0 AS known
    FROM pg_class AS table_
    WHERE table_.oid = coalesce(part.relid, whole.oid) AND table_.relkind = 'r'
) AS leaf
WHERE whole.oid = to_regclass(%s)
HAVING count(*) > 0
"""
