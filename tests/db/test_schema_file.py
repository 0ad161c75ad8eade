"""schema.sql and the reference pages are what the database has, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.db.server import Database
from tools import database_docs


@pytest.mark.parametrize("path", [database_docs.SCHEMA, database_docs.API, database_docs.ENTITIES])
def test_the_file_is_right(database: Database, path: Path) -> None:
    assert path.read_text(encoding="utf-8") == database_docs.pages(database)[path], "make reference"


def test_two_runs_are_equal(database: Database) -> None:
    assert database_docs.pages(database) == database_docs.pages(database)


def test_a_change_shows(database: Database) -> None:
    before = database_docs.pages(database)
    database.execute("COMMENT ON TABLE public.organizations IS 'other'")
    database.execute("COMMENT ON FUNCTION public.enter_tenant(uuid) IS 'other'")
    after = database_docs.pages(database)
    assert [path.name for path in before if before[path] != after[path]] == [
        "api.md", "entities.md", "schema.sql",
    ]  # fmt: skip
