"""Dashboards: sums over every tenant, no personal data, refreshed beside their readers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from guestcomms import db

from tests.db.queue_calls import organization, queue
from tests.db.server import Database

DASHBOARDS = ("communications", "deliverability", "queue", "templates")
READ = "SELECT * FROM public.dashboard_{}"
REFRESH = "SELECT internal.refresh_dashboards()"
DELIVERED = """
INSERT INTO public.delivery_status (
    organization_id, recipient_id, event_key, communication_id, communication_created_at, channel,
    provider, provider_event_id, status, occurred_at, created_at
)
SELECT organization_id, id, gen_random_uuid(), communication_id, communication_created_at, channel,
    'smtp', 'x', 'delivered', now(), {}
FROM public.communication_recipients
"""
COUNTED = """
INSERT INTO internal.delivery_counts (span, provider, channel, status, events)
SELECT date_bin('5 minutes', now() - age::interval, '2000-01-01 00:00:00+00'), provider, 'email',
    'delivered', 7
FROM (VALUES ('0', 'open'), ('40 minutes', 'final'), ('26 hours', 'old')) AS counted (age, provider)
"""


def read(database: Database, name: str, login: str = "wedsync_report") -> list[dict[str, Any]]:
    with database.connect(login) as connection:
        return db.rows(connection, READ.format(name).encode())


def test_reports_see_the_sums_of_every_tenant_after_a_refresh(database: Database) -> None:
    with database.connect() as connection:
        for name in ("A", "B"):
            queue(connection, organization(database, name), 1500)
    database.execute(DELIVERED.format("now()"))
    assert read(database, "communications") == []
    database.execute(REFRESH, "guestcomms_cron")
    communications = read(database, "communications")
    assert [(row["communications"], row["queued"]) for row in communications] == [(1, 1500)] * 2
    (waiting,) = read(database, "queue")
    assert (waiting["state"], waiting["chunks"], waiting["recipients"]) == ("ready", 4, 3000)
    assert sum(row["delivered"] for row in read(database, "deliverability")) == 3000


def test_events_of_earlier_spans_are_not_read_again(database: Database) -> None:
    with database.connect() as connection:
        queue(connection, organization(database), 10)
    # In one that was counted, by a transaction that has ended since.
    database.execute(
        DELIVERED.format("greatest(now() - interval '10 minutes', date_trunc('month', now()))")
    )
    database.execute(COUNTED)
    for _ in range(2):
        assert database.value("SELECT internal.count_deliveries()", "guestcomms_cron") == 10
    database.execute(DELIVERED.format("now()"))
    database.execute(REFRESH, "guestcomms_cron")
    found: Counter[str] = Counter()
    for row in read(database, "deliverability"):  # a row an hour: the two spans may be of two
        found[row["provider"]] += row["delivered"]
    assert found == {"smtp": 20, "final": 7}


def test_a_reader_does_not_stop_a_refresh(database: Database) -> None:
    """REFRESH without CONCURRENTLY would wait for the reader until the lock timeout."""
    with database.connect("wedsync_report") as reader, reader.transaction():
        reader.execute("SELECT * FROM public.dashboard_communications")
        with database.connect("guestcomms_cron") as job:
            job.execute("SET lock_timeout = '2s'")
            job.execute(REFRESH)


def test_no_column_can_hold_personal_data(database: Database) -> None:
    """Keys of tenants and templates, times, numbers, and words from closed lists."""
    with database.connect() as connection:
        columns = db.rows(
            connection,
            """
            SELECT DISTINCT attname AS name FROM pg_attribute
            JOIN pg_class AS relation ON relation.oid = attrelid
            WHERE relation.relkind = 'm' AND relation.relname LIKE 'dashboard\\_%' AND attnum > 0
                AND atttypid NOT IN (
                    'bigint'::regtype, 'smallint'::regtype, 'integer'::regtype, 'uuid'::regtype,
                    'date'::regtype, 'timestamptz'::regtype
                )
            """,
        )
    assert {row["name"] for row in columns} == {"channel", "category", "provider", "state"}


@pytest.mark.parametrize("name", DASHBOARDS)
@pytest.mark.parametrize("login", ["wedsync_app", "wedsync_worker", "wedsync_auditor"])
def test_a_tenant_does_not_read_them(database: Database, name: str, login: str) -> None:
    with pytest.raises(db.sqlstates.InsufficientPrivilege):
        read(database, name, login)
