"""CREATE INDEX CONCURRENTLY on a partitioned table: beside the traffic, and again after any end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from guestcomms import db, migrate
from guestcomms.errors import RefusedError, UnreachableError
from guestcomms.migrate import Patience, Project

from tests.db.server import Database
from tests.db.test_apply import add_migration
from tests.db.test_partitions import partitioned, partitions
from tests.waiting import wait_until

__all__ = ["partitioned"]

ORGANIZATION = "018f0000-0000-7000-8000-000000000001"
MIGRATION = """\
-- Finds events by their month.
-- transactional: false
CREATE {}INDEX CONCURRENTLY events_by_id ON public.events ({}) WHERE event_id IS NOT NULL;
"""
ROLLBACK = "DROP INDEX IF EXISTS public.events_by_id;\n"
INSERT = """
INSERT INTO public.events (organization_id, created_at)
SELECT %s, date_trunc('month', now()) + number * interval '1 month' / %s
FROM generate_series(0, %s) AS number
"""

SLOW = "md5(repeat(event_id::text, 500))"
"""An expression that makes a build take seconds."""
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1"


@pytest.fixture
def filled(partitioned: Database, tree: Project) -> Database:
    partitioned.execute(f"SELECT create_organization('{ORGANIZATION}', 'A')")
    insert(partitioned, 50_000)
    add_migration(tree, "index", MIGRATION.format("", "organization_id, event_id"), ROLLBACK)
    return partitioned


def rewrite(tree: Project, text: str) -> None:
    file = next(tree.migrations_folder.glob("*.index.sql"))
    file.write_text(text)
    migrate.write_sums([file.name], tree)


def insert(database: Database, count: int) -> None:
    with database.connect() as connection:
        connection.execute(INSERT.encode(), (ORGANIZATION, count, 3 * count))


def indexes(database: Database) -> dict[bool, int]:
    """How many indexes of ours there are, valid or not."""
    with database.connect() as connection:
        rows = db.rows(
            connection,
            "SELECT indisvalid AS valid, count(*) AS number FROM pg_index"
            " WHERE indrelid::regclass::text LIKE 'events%' AND NOT indisprimary GROUP BY 1",
        )
    return {row["valid"]: row["number"] for row in rows}


def whole(database: Database) -> dict[bool, int]:
    return {True: 1 + len(partitions(database))}


def test_writers_go_on_while_it_is_built(
    filled: Database, tree: Project, record_property: Callable[[str, object], None]
) -> None:
    rewrite(tree, MIGRATION.format("", SLOW))
    longest, count, done = 0.0, 0, threading.Event()

    def write() -> None:
        nonlocal longest, count
        with filled.connect() as connection:
            while not done.is_set():
                started = time.monotonic()
                connection.execute(INSERT.encode(), (ORGANIZATION, 1, 3))
                longest, count = max(longest, time.monotonic() - started), count + 1

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        told: list[str] = []
        run = migrate.apply(filled.dsn(), tree, tell=told.append)
        done.set()
        writer.result()
    record_property("longest_write_seconds", round(longest, 3))
    record_property("build_seconds", round(run.seconds, 2))
    assert indexes(filled) == whole(filled)
    names = partitions(filled)
    assert f"public.events_by_id: public.{names[0]}, 1 of {len(names)}" in told
    assert count > 1
    assert longest < 1


def test_the_next_month_gets_it_too(filled: Database, tree: Project) -> None:
    migrate.apply(filled.dsn(), tree)
    before = whole(filled)
    filled.execute("UPDATE partman.part_config SET premake = 5")
    filled.execute("SELECT internal.maintain_partitions()", "guestcomms_cron")
    assert indexes(filled) == whole(filled) != before


def test_it_goes_on_wherever_it_was_ended(filled: Database, tree: Project) -> None:
    for stop_at in range(len(partitions(filled))):
        stop(filled, tree, stop_at)
    migrate.apply(filled.dsn(), tree)
    assert indexes(filled) == whole(filled)


def stop(database: Database, tree: Project, at: int) -> None:
    """End a run as it begins with its first or second partition."""
    lines = 0

    def tell(message: str) -> None:
        nonlocal lines
        lines += message.startswith("public.events_by_id: ")
        if lines == 1 + bool(at):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        migrate.apply(database.dsn(), tree, tell=tell)
    assert indexes(database)[False] == 1
    assert indexes(database).get(True, 0) == at


def test_it_goes_on_after_its_backend_was_killed(filled: Database, tree: Project) -> None:
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%'"
        " AND wait_event = 'virtualxid'"
    )
    with filled.connect() as old, ThreadPoolExecutor(1) as pool:
        with old.transaction():
            old.execute(SNAPSHOT.encode())
            run = pool.submit(migrate.apply, filled.dsn(), tree)
            wait_until(lambda: filled.value(waiting) is not None)
            filled.execute(f"SELECT pg_terminate_backend(({waiting}))")
            with pytest.raises(UnreachableError):
                run.result()
        assert indexes(filled) == {False: 2}  # the whole, and the one that was being built
    migrate.apply(filled.dsn(), tree)
    assert indexes(filled) == whole(filled)


def test_an_old_transaction_is_waited_for(filled: Database, tree: Project) -> None:
    """Longer than for a lock: that wait is in nobody's way."""
    with filled.connect() as old, ThreadPoolExecutor(1) as pool:
        with old.transaction():
            old.execute(SNAPSHOT.encode())
            run = pool.submit(
                migrate.apply, filled.dsn(), tree, Patience(lock_timeout=0.2, attempts=1)
            )
            time.sleep(1.5)
            assert not run.done()
        run.result()


def test_rows_that_break_a_unique_one_are_named(filled: Database, tree: Project) -> None:
    rewrite(tree, MIGRATION.format("UNIQUE ", "organization_id, created_at"))
    insert(filled, 1)
    with pytest.raises(RefusedError, match="could not create unique index"):
        migrate.apply(filled.dsn(), tree)
    filled.execute("DELETE FROM public.events")
    migrate.apply(filled.dsn(), tree)
    assert indexes(filled) == whole(filled)


def test_its_rollback_drops_the_whole(filled: Database, tree: Project) -> None:
    migrate.apply(filled.dsn(), tree)
    migrate.rollback(filled.dsn(), migrate.rollback_plan(filled.dsn(), 1, tree), tree)
    assert indexes(filled) == {}
