"""docs/operations-manual.md: every SQL block of it runs, as operations' login, on lived-in data."""

from __future__ import annotations

import re

import pytest
from guestcomms import db, paths

from tests.db.server import Database

TEXT = (paths.ROOT / "docs" / "operations-manual.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sql\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def test_there_are_blocks() -> None:
    assert len(BLOCKS) > 30


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0][:60] for block in BLOCKS])
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
