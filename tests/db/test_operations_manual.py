"""docs/operations-manual.md and the runbooks: every SQL block of them runs, on lived-in data.

As operations' login, which is what the pages tell to use.
"""

from __future__ import annotations

import re

import pytest
from guestcomms import db, paths

from tests.db.server import Database

DOCS = paths.ROOT / "docs"
SQL = re.compile(r"^```sql\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
BLOCKS = SQL.findall((DOCS / "operations-manual.md").read_text(encoding="utf-8"))
IN_RUNBOOKS = sorted(
    {
        block
        for page in (DOCS / "runbooks").glob("*.md")
        for block in SQL.findall(page.read_text(encoding="utf-8"))
    }
)


def test_there_are_blocks() -> None:
    assert len(BLOCKS) > 30
    assert len(IN_RUNBOOKS) > 15


@pytest.mark.parametrize(
    "block",
    BLOCKS + IN_RUNBOOKS,
    ids=[block.splitlines()[0][:60] for block in BLOCKS + IN_RUNBOOKS],
)
def test_every_block(lived_in: Database, block: str) -> None:
    with (
        lived_in.connect("wedsync_ops") as connection,
        connection.transaction(force_rollback=True),
    ):
        cursor = connection.execute(block.encode())
        if block.startswith("SELECT") and cursor.description:
            assert [column.name for column in cursor.description]
            cursor.fetchall()


def test_a_wrong_block_would_show(lived_in: Database) -> None:
    with pytest.raises(db.sqlstates.UndefinedColumn):
        test_every_block(lived_in, "SELECT waiting FROM pg_stat_activity")
