"""What a database holds, as row counts and hashes by range of keys, to be compared with a copy.

What the live database holds at a point of its write-ahead log is found without stopping anybody:
one snapshot is taken just before the point, one just behind it, and both are hashed at leisure. A
range of keys that is the same in both was so at the point. The few that changed in the milliseconds
between the two are in motion: of them alone nothing is claimed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

Range = tuple[str, str, int]  # table, partition, number of the range
Contents = Mapping[Range, tuple[int, str]]  # → rows, hash
SHOWN = 5  # differences that are named

_TABLES = "SELECT * FROM internal.content_tables() AS name"
_HASHES = "SELECT part, bucket, row_count, hash FROM internal.content_hashes(%s)"


@dataclass(frozen=True)
class Expected:
    """What a copy must hold: ranges as they were, and those that nobody can tell."""

    settled: Contents
    moving: frozenset[Range]

    @property
    def rows(self) -> int:
        """Rows in the ranges that are known."""
        return sum(rows for rows, _ in self.settled.values())


def read(
    connection: psycopg.Connection[tuple[Any, ...]], report: Callable[[str], None]
) -> Contents:
    """Hash every table that is compared, in the connection's snapshot; `report` hears its name."""
    found: dict[Range, tuple[int, str]] = {}
    for (table,) in connection.execute(_TABLES).fetchall():
        report(table)
        for part, bucket, rows, digest in connection.execute(_HASHES, [table]).fetchall():
            found[table, part, bucket] = (rows, digest)
    return found


def expected(before: Contents, behind: Contents) -> Expected:
    """Return what held at a point between two snapshots."""
    moving = {key for key in {*before, *behind} if before.get(key) != behind.get(key)}
    return Expected({k: v for k, v in before.items() if k not in moving}, frozenset(moving))


def differences(wanted: Expected, found: Contents) -> list[str]:
    """Return a sentence for each range of the copy that is not as it was."""
    keys = sorted({*wanted.settled, *found} - wanted.moving)
    nothing = (0, "")
    return [
        f"{part} range {bucket}: {found.get(key, nothing)[0]} rows instead of"
        f" {wanted.settled.get(key, nothing)[0]}"
        if found.get(key, nothing)[0] != wanted.settled.get(key, nothing)[0]
        else f"{part} range {bucket}: other content in {found[key][0]} rows"
        for key in keys
        for _table, part, bucket in [key]
        if found.get(key) != wanted.settled.get(key)
    ]
