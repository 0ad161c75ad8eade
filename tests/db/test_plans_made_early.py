"""Calls keep their plans; those made while tables were empty do no harm once tables have grown.

So it is on a new cluster, and whenever a month's first campaign meets connections that are not new.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from guestcomms import db

from tests.db import queue_calls
from tests.db.server import Database
from tests.db.test_sending import A, create, guests, ids

ROWS = 20_000
MOST = 2000
"""Rows of one table that a call for a hundred messages may read."""
READ = """
SELECT relname, (seq_tup_read + coalesce(idx_tup_fetch, 0))::int FROM pg_stat_xact_user_tables
"""
NEVER_ANALYSED = """
DO $$ DECLARE v_table regclass; BEGIN
    FOR v_table IN SELECT oid FROM pg_class WHERE relkind = 'r'
        AND relnamespace IN ('public'::regnamespace, 'internal'::regnamespace)
    LOOP EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', v_table); END LOOP;
END $$
"""


@dataclass
class Sessions:
    """Of an application and a worker, and how many rows of which table each call read."""

    app: db.Connection
    worker: db.Connection
    read: dict[str, dict[str, int]] = field(default_factory=dict)

    @contextmanager
    def call(self, name: str, connection: db.Connection) -> Iterator[None]:
        with connection.transaction():
            before = read(connection)
            yield
            after = read(connection)
        more = {table: count - before.get(table, 0) for table, count in after.items()}
        self.read[name] = {table: count for table, count in more.items() if count > MOST}

    def everything(self, communication: object, guest_ids: object) -> None:
        """Each call for messages, for up to a hundred of them."""
        with self.call("bulk_send", self.app):
            self.app.execute(
                "SELECT * FROM public.bulk_send(%s, %s, p_guest_ids => %s)",
                (A, communication, guest_ids),
            )
        with self.call("claim_batches", self.worker):
            (claimed,) = queue_calls.claim(self.worker)
        with self.call("complete_batch", self.worker):
            queue_calls.complete(self.worker, claimed, claimed.results())
        events = [queue_calls.event(one, "delivered") for one in claimed.recipient_ids[:20]]
        with self.call("record_delivery_events", self.app):
            assert queue_calls.record(self.app, A, events)[0] == len(events)
        with self.call("list_recipients", self.app):
            self.app.execute(
                "SELECT * FROM public.list_recipients(%s, %s, NULL, NULL, 50)",
                (A, claimed.communication_id),
            )
        with self.call("communication_progress", self.app):
            self.app.execute(
                "SELECT * FROM public.communication_progress(%s, %s)", (A, claimed.communication_id)
            )


def read(connection: db.Connection) -> dict[str, int]:
    """Rows of each table that this session has read, as far as it has not reported them yet."""
    rows: list[tuple[str, int]] = connection.execute(READ.encode()).fetchall()
    return dict(rows)


@pytest.fixture
def early(database: Database) -> Iterator[Sessions]:
    """They made every call once, for one guest, when there was nobody else."""
    queue_calls.organization(database)
    database.execute(
        f"SELECT create_organization('{A}', 'X', 'UTC', '{{wedsync_app}}')", "wedsync_ops"
    )
    database.execute(NEVER_ANALYSED)
    # As in a cluster.
    database.execute(f"ALTER DATABASE {database.name} SET random_page_cost = 1.1")
    with database.connect("wedsync_app") as app, database.connect("wedsync_worker") as worker:
        made = Sessions(app, worker)
        guests(database, A, 1)
        made.everything(create(database)["id"], ids(database, 1))
        yield made


def test_plans_made_while_tables_were_empty_are_made_anew(
    database: Database, early: Sessions
) -> None:
    with database.connect() as owner:
        queue_calls.queue(owner, A, ROWS)
    guests(database, A, ROWS)
    some, others = ids(database, 100), ids(database, 200)[100:]
    early.everything(create(database)["id"], some)
    slow = {name for name, tables in early.read.items() if tables}
    assert {"complete_batch", "record_delivery_events"} <= slow  # or there is nothing to mend
    grown = database.value("SELECT internal.analyze_grown()")
    assert isinstance(grown, int)
    assert grown >= 2  # guests, recipients
    early.everything(create(database)["id"], others)
    assert {name: tables for name, tables in early.read.items() if tables} == {}
    assert database.value("SELECT internal.analyze_grown()") == 0


FAILING = "CREATE OR REPLACE FUNCTION public.fails(integer) RETURNS integer IMMUTABLE"
BROKEN = f"""
SET ROLE comms_owner;
{FAILING} RETURN $1;
CREATE TABLE public.broken (number integer);
CREATE INDEX ON public.broken (public.fails(number));
INSERT INTO public.broken SELECT generate_series(1, 10000);
{FAILING} RETURN $1 / 0;
"""
KNOWN = "SELECT count(*) > 0 FROM pg_stats WHERE tablename = 'guests'"


@pytest.fixture
def grown(database: Database) -> Database:
    """With many guests of whom nothing is known yet, unlike of all else."""
    database.value("SELECT internal.analyze_grown()")
    database.execute(
        f"SELECT create_organization('{A}', 'X', 'UTC', '{{wedsync_app}}')", "wedsync_ops"
    )
    guests(database, A, ROWS)
    assert database.value(KNOWN) is False
    return database


def test_a_table_that_cannot_be_analysed_costs_no_other_its_statistics(grown: Database) -> None:
    grown.execute(BROKEN)
    said: list[str | None] = []
    with grown.connect() as superuser:
        superuser.add_notice_handler(lambda told: said.append(told.message_primary))
        assert db.one_value(superuser, b"SELECT internal.analyze_grown()") == 1
    assert said == ["no statistics of public.broken: division by zero"]
    assert grown.value(KNOWN) is True


def test_a_table_that_others_change_is_left_alone(grown: Database) -> None:
    with grown.connect() as other, other.transaction():
        other.execute("LOCK TABLE public.guests IN ACCESS EXCLUSIVE MODE")
        assert grown.value("SELECT internal.analyze_grown()") == 0
    assert grown.value("SELECT internal.analyze_grown()") == 1
    assert grown.value(KNOWN) is True
