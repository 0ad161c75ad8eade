"""Migrating while clients work: nobody's call fails, whatever is applied meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import permutations

from guestcomms import db, migrate
from guestcomms.migrate import Project

from tests.db import script
from tests.db.server import Database
from tests.db.test_apply import add_migration

ORGANIZATION = "018f0000-0000-7000-8000-000000000001"
TABLES = ("organizations", "guests", "guest_communications")
CLIENTS = 6


@dataclass
class Work:
    """What the clients saw."""

    calls: int = 0
    longest: float = 0
    errors: list[db.DatabaseError] = field(default_factory=list)


@contextmanager
def clients(database: Database) -> Iterator[Work]:
    """Clients that call and read in a loop, each in another order, which is what deadlocks need."""
    work, done = Work(), threading.Event()

    def client(order: tuple[str, ...]) -> None:
        with database.connect("wedsync_app") as connection:
            while not done.is_set():
                started = time.monotonic()
                try:
                    one_call(connection, order)
                except db.DatabaseError as error:
                    work.errors.append(error)
                    return
                work.longest = max(work.longest, time.monotonic() - started)
                work.calls += 1

    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(client, order) for order in permutations(TABLES)]
        try:
            yield work
        finally:
            done.set()
            for one in running:
                one.result()


def one_call(connection: db.Connection, order: tuple[str, ...]) -> None:
    with connection.transaction():
        connection.execute("SELECT public.enter_tenant(%s)", (ORGANIZATION,))
        for table in order:
            connection.execute(
                db.sql.SQL("SELECT count(*) FROM {}").format(db.sql.Identifier(table))
            )
            time.sleep(0.01)


def test_a_migration_and_every_repeatable_beside_the_traffic(
    database: Database, tree: Project, record_property: Callable[[str, object], None]
) -> None:
    script.run(database)
    add_migration(
        tree,
        "harmless",
        "CREATE TABLE internal.notes (note_id bigint PRIMARY KEY);\n"
        "ALTER TABLE public.guests ADD COLUMN note text;\n",
    )
    files = tree.repeatables()
    for file in files:
        (tree.root / file.path).write_text(f"-- Edited.\n{file.text}")
    with clients(database) as work:
        time.sleep(0.5)
        run = migrate.apply(database.dsn(), tree)
        time.sleep(0.5)
    record_property("calls", work.calls)
    record_property("longest_call_seconds", round(work.longest, 2))
    record_property("apply_seconds", round(run.seconds, 2))
    assert work.errors == []
    assert (len(run.migrations), len(run.repeatables)) == (1, len(files))
