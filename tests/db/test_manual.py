"""The SQL of the manual that operations people had before, word for word, as their login.

Nine of the thirty-three blocks cannot run on PostgreSQL 17: docs/operations-manual.md has what to
run instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pglast
import pytest
from guestcomms import db

from tests.db import script
from tests.db.server import Database

CANNOT = {
    "07": "25001",  # REINDEX DATABASE inside a transaction block
    "08": "25001",  # VACUUM, the same
    "10": "42501",  # placeholders, and nobody makes partitions by hand
    "11": "42P01",  # pg_stat_statements is in schema extensions; total_time has another name too
    "15": "42P01",  # the same; query_text and mean_time are columns of no version
    "16": "42703",  # pg_stat_user_indexes calls it relname
    "27": "42703",  # pg_stat_activity.waiting is gone since 9.6
    "31": "42883",  # there is no generate_random_uuid()
    "33": "22007",  # 'incident_start_time' is a placeholder
}


@pytest.mark.parametrize("block", script.MANUAL, ids=lambda path: path.stem)
def test_every_block(lived_in: Database, block: Path) -> None:
    number, text = block.name[:2], block.read_text(encoding="utf-8")
    with operator(lived_in) as connection:
        if number in CANNOT:
            with pytest.raises(db.DatabaseError) as refusal:
                run(connection, text)
            assert refusal.value.sqlstate == CANNOT[number]
        else:
            run(connection, text)


@contextmanager
def operator(database: Database) -> Iterator[db.Connection]:
    """What a block does is undone: the next one finds what this one found."""
    with (
        database.connect("wedsync_ops") as connection,
        connection.transaction(force_rollback=True),
    ):
        yield connection


def run(connection: db.Connection, text: str) -> None:
    """As editors and libraries do that send several statements: in one transaction."""
    statements = [text] if "YYYY_MM" in text else pglast.split(text)
    for statement in statements:
        connection.execute(statement.encode())
