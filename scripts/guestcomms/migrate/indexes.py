"""CREATE INDEX CONCURRENTLY in a stepwise migration, also on a partitioned table.

PostgreSQL refuses that there. What it offers instead is done here: the index on the table alone,
invalid yet; the same one beside the traffic on each partition; each attached, and with the last the
whole becomes valid. Whatever ends that in between, the next run goes on with what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from guestcomms import db
from guestcomms.errors import RefusedError
from guestcomms.migrate.session import Session

_STATEMENT = re.compile(
    r"(?:--[^\n]*\n|\s)*CREATE\s+(?P<unique>UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?P<name>\w+)\s+"
    r"ON\s+(?P<table>(?P<schema>\w+)\.\w+)\s*(?P<rest>(?:\(|USING\s).*)",
    re.DOTALL | re.IGNORECASE,
)
_LONGEST_NAME = 63


@dataclass(frozen=True)
class Index:
    """An index to build beside the traffic; `rest` is what follows the table's name."""

    statement: str
    unique: str
    schema: str
    name: str
    table: str
    rest: str

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"


def read(statement: str) -> Index | None:
    """The index that a statement builds CONCURRENTLY, if that is what it does."""
    found = _STATEMENT.fullmatch(statement)
    if found is None:
        return None
    unique = "UNIQUE " if found["unique"] else ""
    rest = found["rest"].rstrip("; \n")
    return Index(statement, unique, found["schema"], found["name"], found["table"], rest)


def build(session: Session, index: Index) -> None:
    """Build it; on a partitioned table, whatever of it is not there yet.

    Raises `RefusedError` if the index of a partitioned table is not valid in the end.
    """
    connection = session.connection
    if not db.rows(connection, _PARTITIONED, (index.table,)):
        _without_hurry(session, index.statement)
        return
    if not _value(connection, "SELECT to_regclass(%s) IS NOT NULL", index.full_name):
        _execute(
            connection,
            f"CREATE {index.unique}INDEX {index.name} ON ONLY {index.table} {index.rest}",
        )
    todo = db.rows(connection, _TO_ATTACH, (index.table, index.full_name))
    for number, row in enumerate(todo, 1):
        session.tell(f"{index.full_name}: {row['partition']}, {number} of {len(todo)}")
        _build_one(session, index, str(row["partition"]))
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
    if not _value(connection, valid, index.full_name):
        raise RefusedError(
            f"Index {index.full_name} is on every partition of {index.table} that there was, and"
            " not valid yet; run the command again, it goes on with what is missing."
        )


def _build_one(session: Session, index: Index, partition: str) -> None:
    connection = session.connection
    own_name = _name_on(index, partition)
    own = f"{index.schema}.{own_name}"
    valid = _value(
        connection, "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", own
    )
    if valid is False:  # an earlier build ended half way
        _without_hurry(session, f"DROP INDEX CONCURRENTLY {own}")
    if not valid:
        _without_hurry(
            session,
            f"CREATE {index.unique}INDEX CONCURRENTLY {own_name} ON {partition} {index.rest}",
        )
    _execute(connection, f"ALTER INDEX {index.full_name} ATTACH PARTITION {own}")


def _name_on(index: Index, partition: str) -> str:
    """The name on a partition: as the whole, with what sets the partition apart."""
    table, name = index.table.split(".")[1], partition.split(".")[1]
    apart = name.removeprefix(table) if name.startswith(f"{table}_") else f"_{name}"
    return index.name[: _LONGEST_NAME - len(apart)] + apart


def _without_hurry(session: Session, statement: str) -> None:
    """Wait for old transactions as long as they take: that wait is in nobody's way."""
    with _lock_timeout(session.connection, 0):
        _execute(session.connection, statement)


@contextmanager
def _lock_timeout(connection: db.Connection, milliseconds: int) -> Iterator[None]:
    usual = _value(connection, "SELECT current_setting(%s)", "lock_timeout")
    connection.execute("SELECT set_config('lock_timeout', %s, false)", (str(milliseconds),))
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (usual,))


def _execute(connection: db.Connection, statement: str) -> None:
    connection.execute(statement.encode())


def _value(connection: db.Connection, query: db.Query, value: str) -> object:
    return db.one_value(connection, query, (value,))


_PARTITIONED = """
SELECT FROM pg_class WHERE oid = to_regclass(%s) AND relkind = 'p'
"""

_TO_ATTACH = """
SELECT partition.relid::regclass::text AS partition
FROM pg_partition_tree(%s) AS partition
WHERE partition.level = 1 AND NOT EXISTS (
    SELECT
    FROM pg_inherits AS attached JOIN pg_index AS index ON index.indexrelid = attached.inhrelid
    WHERE attached.inhparent = to_regclass(%s) AND index.indrelid = partition.relid
)
ORDER BY 1
"""
