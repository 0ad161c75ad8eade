"""Calls keep one plan for all organizations, of average size: it serves a large one, too.

Most couples have a hundred guests; one has ten thousand and writes to all of them.
"""

from __future__ import annotations

import pytest

from tests.db import queue_calls
from tests.db.server import Database
from tests.db.test_plans_made_early import ROWS, Sessions
from tests.db.test_sending import A, create, guests, ids

ORGANIZATIONS = (
    "SELECT create_organization(gen_random_uuid(), 'O', 'UTC', '{{wedsync_app}}')"
    " FROM generate_series(1, {})"
)
GUESTS = """
INSERT INTO public.guests (organization_id, name, email, email_hash)
SELECT organization_id, 'Guest ' || n, format('g%s@example.org', n),
    sha256(format('%s%s', name, n)::bytea)
FROM public.organizations, generate_series(1, {}) AS n WHERE name = '{}'
"""
NAMED = b"SELECT organization_id::text FROM public.organizations WHERE name = 'O'"

TIMES = 7
"""A plan of its own is made for each of the first five calls of a statement that may have one."""
TOKENS = f"""
SELECT internal.unsubscribe_token('{A}', id) FROM public.communication_recipients
WHERE organization_id = '{A}' ORDER BY id DESC LIMIT {TIMES}
"""


def tokens(database: Database) -> list[str]:
    """What links in messages of the large organization carry."""
    with database.connect() as owner:
        return [str(token) for (token,) in owner.execute(TOKENS.encode()).fetchall()]


@pytest.mark.parametrize(("organizations", "each"), [(16, 200), (500, 20)])
def test_a_call_for_a_few_of_a_large_organization_reads_a_few(
    database: Database, organizations: int, each: int
) -> None:
    queue_calls.organization(database)
    database.execute(
        f"SELECT create_organization('{A}', 'X', 'UTC', '{{wedsync_app}}')", "wedsync_ops"
    )
    database.execute(ORGANIZATIONS.format(organizations), "wedsync_ops")
    with database.connect() as owner:
        for (one,) in owner.execute(NAMED).fetchall():
            queue_calls.queue(owner, one, each, rank=ROWS)
        queue_calls.queue(owner, A, ROWS)
    for name, number in (("O", each), ("X", ROWS)):
        database.execute(GUESTS.format(number, name))
    database.execute("ANALYZE")
    # As in a cluster.
    database.execute(f"ALTER DATABASE {database.name} SET random_page_cost = 1.1")
    with database.connect("wedsync_app") as app, database.connect("wedsync_worker") as worker:
        made = Sessions(app, worker)
        made.everything(create(database)["id"], ids(database, 100))
        with made.call("render_batch", worker):
            (claimed,) = queue_calls.claim(worker)
            assert claimed.organization_id == A
            worker.execute(
                "SELECT * FROM public.render_batch(%s, %s, %s)",
                (A, claimed.batch_id, claimed.lease_token),
            )
        with made.call("fail_batch", worker):
            worker.execute(
                "SELECT public.fail_batch(%s, %s, %s, 'x')",
                (A, claimed.batch_id, claimed.lease_token),
            )
        for number, (guest, token) in enumerate(
            zip(ids(database, TIMES), tokens(database), strict=True)
        ):
            for name, call, value in (
                ("search_guests", "search_guests(%s, %s)", "guest"),
                ("list_communications", "list_communications(%s, %s)", "sending"),
                (
                    "withdraw_consent",
                    "withdraw_consent(%s, %s, 'email', 'x')",
                    f"g{number}@example.org",
                ),
                ("unsubscribe", "unsubscribe(%s)", token),
                ("erase_guest", "erase_guest(%s, %s)", guest),
            ):
                with made.call(name, app):
                    values = (A, value)[-call.count("%s") :]
                    app.execute(f"SELECT * FROM public.{call}".encode(), values)
    assert {name: tables for name, tables in made.read.items() if tables} == {}


MANY = f"""
INSERT INTO public.guest_communications (
    organization_id, id, created_at, message_title, message_type, message_category, purpose,
    lawful_basis, subject, body, compiled
)
SELECT '{A}', one.id, internal.uuid_v7_time(one.id), 'T', 'email', 'transactional', 'wedding',
    'contract', 'S', repeat('Hello ', 100), '{{}}'
FROM (SELECT internal.uuid_v7() AS id FROM generate_series(1, 400) OFFSET 0) AS one
"""
CHECKS = """
SELECT sum(calls)::integer, sum(plans)::integer
FROM extensions.pg_stat_statements JOIN pg_database AS database ON database.oid = dbid
WHERE datname = current_database() AND query ~ 'guest_communications. x WHERE.*FOR KEY SHARE'
"""


def test_whose_communication_a_recipient_is_of_is_not_planned_for_each(database: Database) -> None:
    """A foreign key to partitions: PostgreSQL makes a plan for each row if that seems cheaper."""
    database.execute(
        f"SELECT create_organization('{A}', 'X', 'UTC', '{{wedsync_app}}')", "wedsync_ops"
    )
    guests(database, A, 300)
    database.execute(MANY)
    assert database.value("SELECT internal.analyze_grown()")
    for setting in (
        "random_page_cost = 1.1",  # as in a cluster
        "pg_stat_statements.track = 'all'",
        "pg_stat_statements.track_planning = on",
    ):
        database.execute(f"ALTER DATABASE {database.name} SET {setting}")
    named = ids(database, 300)
    with database.connect("wedsync_app") as app:
        for first in range(0, 300, 100):
            communication = create(database)["id"]
            app.execute(
                "SELECT * FROM public.bulk_send(%s, %s, p_guest_ids => %s)",
                (A, communication, named[first : first + 100]),
            )
    with database.connect() as owner:
        ((calls, plans),) = owner.execute(CHECKS.encode()).fetchall()
    assert calls >= 300
    assert plans < 20
