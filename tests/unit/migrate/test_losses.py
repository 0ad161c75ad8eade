"""What a rollback file drops, read from its text."""

from __future__ import annotations

from pathlib import Path

from guestcomms.migrate.losses import dropped
from guestcomms.migrate.project import Migration

ROLLBACK = """\
-- DROP TABLE public.not_this_one;
DROP TABLE public.a CASCADE;
drop table if exists public.b, internal.c;
DROP VIEW public.v;
ALTER TABLE ONLY public.d
DROP COLUMN e, DROP COLUMN IF EXISTS f, DROP CONSTRAINT g;
DELETE FROM partman.part_config WHERE parent_table = 'public.a';
"""


def test_tables_and_columns(tmp_path: Path) -> None:
    file = tmp_path / "0001.x.rollback.sql"
    file.write_text(ROLLBACK)
    migration = Migration("0001.x", tmp_path / "0001.x.sql", file, "")
    assert [what for _, what in dropped(migration)] == [
        "public.a",
        "public.b",
        "internal.c",
        "public.d.e",
        "public.d.f",
    ]


def test_a_migration_without_rollback_file(tmp_path: Path) -> None:
    assert list(dropped(Migration("0001.x", tmp_path / "0001.x.py", None, ""))) == []
