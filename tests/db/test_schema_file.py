"""schema.sql is what the migrations make, byte for byte."""

from __future__ import annotations

from guestcomms import paths
from guestcomms.migrate.schema import DUMP_OPTIONS, normalise

from tests.db.server import Database


def dump(database: Database) -> str:
    return normalise(database.server.run("pg_dump", *DUMP_OPTIONS, database.name))


def test_the_file_is_right(database: Database) -> None:
    assert (paths.ROOT / "schema.sql").read_text(encoding="utf-8") == dump(database)


def test_two_dumps_are_equal(database: Database) -> None:
    assert dump(database) == dump(database)


def test_a_change_shows(database: Database) -> None:
    before = dump(database)
    database.execute("COMMENT ON TABLE public.organizations IS 'other'")
    assert dump(database) != before
