"""Migrating while clients work: nobody's call fails, whatever is applied meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from guestcomms import db, migrate
from guestcomms.migrate import Project

from tests.db import script
from tests.db.server import Database
from tests.db.test_apply import add_migration

ORGANIZATION = "018f0000-0000-7000-8000-000000000001"
READ = (
    "BEGIN; SELECT enter_tenant('{{organization}}'); SELECT count(*) FROM {};"
    " SELECT pg_sleep(0.01); SELECT count(*) FROM {}; COMMIT"
)
"""In both orders of locks, which is what a deadlock needs."""
CALLS = {
    "wedsync_app": [
        READ.format("organizations", "guests"),
        READ.format("guests", "organizations"),
        "SELECT count(*) FROM list_communications('{organization}')",
        (
            'SELECT record_delivery_events(\'{organization}\', \'[{{"provider": "live",'
            ' "provider_event_id": "1", "provider_message_id": "1", "status": "sent",'
            ' "occurred_at": "2026-01-01T00:00:00Z"}}]\')'
        ),
    ],
    "wedsync_worker": ["SELECT * FROM claim_batches('live')"],
    "wedsync_ops": ["SELECT create_organization(NULL, 'Live')"],
}
CONSENT = {
    "wedsync_app": [
        call.format("{organization}", f"live-{number}@example.com")
        for number in range(2)
        for call in (
            "SELECT record_consent('{}', '{}', 'email', 'newsletter', '1', 'form')",
            "SELECT withdraw_consent('{}', '{}', 'email', 'newsletter')",
        )
    ],
}
"""Nothing but calls that lock many tables, one after the other."""
SLOW = {
    "wedsync_app": [
        "BEGIN; SELECT enter_tenant('{organization}'); SELECT pg_sleep(1); COMMIT",
    ]
    * 3,
}
"""Longer than the whole grace of a run."""
PAUSE_SECONDS = 0.02


@dataclass
class Work:
    """What the clients saw."""

    calls: int = 0
    longest: float = 0
    errors: list[db.DatabaseError] = field(default_factory=list)


@contextmanager
def clients(
    database: Database,
    calls_of: Mapping[str, Sequence[str]] = CALLS,
    pause_seconds: float = PAUSE_SECONDS,
) -> Iterator[Work]:
    """One for each call, in a loop."""
    work, done = Work(), threading.Event()

    def client(login: str, call: str) -> None:
        with database.connect(login) as connection:
            while not done.is_set():
                started = time.monotonic()
                try:
                    connection.execute(call.encode())
                except db.DatabaseError as error:
                    work.errors.append(error)
                    return
                work.longest = max(work.longest, time.monotonic() - started)
                work.calls += 1
                time.sleep(pause_seconds)

    calls = [
        (login, call.format(organization=ORGANIZATION))
        for login, several in calls_of.items()
        for call in several
    ]
    with ThreadPoolExecutor(len(calls)) as pool:
        running = [pool.submit(client, *one) for one in calls]
        try:
            yield work
        finally:
            done.set()
            for one in running:
                one.result()


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
        # Every policy at once is more than a release ever changes: it may take many attempts.
        run = migrate.apply(database.dsn(), tree, patience=migrate.Patience(attempts=60, pause=0.5))
        time.sleep(0.5)
    record_property("calls", work.calls)
    record_property("longest_call_seconds", round(work.longest, 2))
    record_property("apply_seconds", round(run.seconds, 2))
    assert work.errors == []
    assert work.calls > 0
    assert (len(run.migrations), len(run.repeatables)) == (1, len(files))


@pytest.mark.parametrize("calls", [CONSENT, SLOW], ids=["consent", "slow"])
def test_every_policy_beside_calls_that_never_pause(
    database: Database, tree: Project, calls: Mapping[str, Sequence[str]]
) -> None:
    script.run(database)
    policies = [file for file in tree.repeatables() if file.kind == "policy"]
    for file in policies:
        (tree.root / file.path).write_text(f"-- Edited.\n{file.text}")
    with clients(database, calls, pause_seconds=0) as work:
        time.sleep(0.5)
        patience = migrate.Patience(pause=0.05)  # at once: everybody has just begun again
        run = migrate.apply(database.dsn(), tree, patience=patience)
    assert {file.path for file in policies} <= set(run.repeatables)
    assert work.errors == []
    assert work.calls > 0
