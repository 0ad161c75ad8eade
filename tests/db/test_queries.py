"""Lists are complete, page by page, and read one partition."""

from __future__ import annotations

import re
import uuid

import pytest
from guestcomms import db

from tests.db.server import Database
from tests.db.test_sending import A, create, guests, ids, refused, send

PAGE = "SELECT recipient_key FROM public.list_recipients(%s, %s, %s, %s, %s)"


@pytest.fixture
def listed(database: Database) -> Database:
    """Organization A with 250 guests."""
    database.execute(
        f"SELECT create_organization('{A}', 'X', 'UTC', '{{wedsync_app}}')", "wedsync_ops"
    )
    guests(database, A, 250)
    return database


def page(
    app: db.Connection, communication: object, after: object, status: str | None = None
) -> list[uuid.UUID]:
    rows = app.execute(PAGE.encode(), (A, communication, status, after, 40)).fetchall()
    return [row[0] for row in rows]


def test_pages_are_complete_while_rows_change(listed: Database) -> None:
    made, keys = create(listed)["id"], ids(listed, 250)
    send(listed, made, "%(keys)s", keys=keys[:200])
    seen: list[uuid.UUID] = []
    with listed.connect("wedsync_app") as app:
        while found := page(app, made, seen[-1] if seen else None):
            seen += found
            listed.execute("UPDATE public.communication_recipients SET status = 'sending'")
            if len(seen) == 80:
                send(listed, made, "%(keys)s", keys=keys[200:])
    assert seen == sorted(set(seen))
    assert set(keys[:200]) <= set(seen)


def test_a_page_of_one_status(listed: Database) -> None:
    made = create(listed)["id"]
    send(listed, made, "p_all_guests => true")
    with listed.connect("wedsync_app") as app:
        assert len(page(app, made, None, "queued")) == 40
        assert page(app, made, None, "sent") == []
        assert page(app, uuid.uuid4(), None) == []


def test_communications_are_listed_newest_first(listed: Database) -> None:
    made = [create(listed)["id"] for _ in range(7)]
    query = "SELECT id FROM public.list_communications(%s, p_limit => 3, p_after => %s)"
    seen: list[uuid.UUID] = []
    with listed.connect("wedsync_app") as app:
        while rows := app.execute(query.encode(), (A, seen[-1] if seen else None)).fetchall():
            seen += [row[0] for row in rows]
    assert seen == made[::-1]


READ = """
SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::int
FROM pg_stat_xact_user_tables
WHERE relname ~ '^(guests|guest_communications|communication_recipients)'
"""
LAST_PAGES = {
    "list_recipients(%(a)s, %(made)s, 'queued', %(after)s, 10)": (
        "SELECT recipient_key FROM public.communication_recipients"
        " ORDER BY recipient_key DESC OFFSET 10 LIMIT 1"
    ),
    "list_communications(%(a)s, p_after => %(after)s, p_limit => 10)": (
        "SELECT id FROM public.guest_communications ORDER BY created_at, id OFFSET 10 LIMIT 1"
    ),
    "search_guests(%(a)s, 'g', 10, 'guest', %(after)s)": (
        "SELECT guest_id FROM public.guests ORDER BY guest_id DESC OFFSET 10 LIMIT 1"
    ),
}
"""Calls for a last page of ten, and what they begin after."""


def test_a_last_page_reads_no_page_before_it(listed: Database) -> None:
    made = create(listed)["id"]
    send(listed, made, "p_all_guests => true")
    listed.execute(
        "SELECT public.create_communication("
        f"'{A}', n::text, 'sms', 'updates', p_body => 'Hello') FROM generate_series(1, 250) AS n",
        "wedsync_app",
    )
    listed.execute("ANALYZE")
    for call, place in LAST_PAGES.items():
        values = {"a": A, "made": made, "after": listed.value(place)}
        with listed.connect("wedsync_app") as app, app.transaction():
            query = f"SELECT count(*) FROM public.{call}".encode()
            before = db.one_value(app, READ.encode())
            assert app.execute(query, values).fetchone() == (10,)
            assert db.one_value(app, READ.encode()) - before < 40, call


@pytest.mark.parametrize(
    ("filters", "number"),
    [
        ("p_status => 'draft'", 1),
        ("p_status => 'sending'", 1),
        ("p_type => 'sms'", 0),
        ("p_from => now() - interval '1 hour', p_to => now() + interval '1 hour'", 2),
        ("p_to => now() - interval '1 hour'", 0),
        ("p_from => now() + interval '1 hour'", 0),
    ],
)
def test_communications_are_filtered(listed: Database, filters: str, number: int) -> None:
    create(listed)
    send(listed, create(listed)["id"], "p_all_guests => true")
    query = f"SELECT count(*) FROM public.list_communications('{A}', {filters})"
    assert listed.value(query, "wedsync_app") == number


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (f"list_recipients('{A}', NULL, p_limit => 0)", "GC390"),
        (f"list_recipients('{A}', NULL, p_limit => 501)", "GC390"),
        (f"list_recipients('{A}', NULL, p_limit => NULL)", "GC390"),
        (f"list_recipients('{A}', NULL, 'lost')", "GC391"),
        (f"list_communications('{A}', 'lost')", "GC391"),
        (f"list_communications('{A}', p_type => 'fax')", "GC391"),
        (f"list_communications('{A}', p_limit => -1)", "GC390"),
        (f"communication_progress('{A}', NULL)", "GC300"),
        (f"communication_progress('{A}', gen_random_uuid())", "GC342"),
        ("list_communications(NULL)", "GC001"),
    ],
)
def test_nonsense_is_refused(listed: Database, call: str, code: str) -> None:
    refused(listed, code, lambda: listed.execute(f"SELECT public.{call}", "wedsync_app"))


def plan(database: Database, query: str, setting: str = "") -> str:
    with database.connect("wedsync_app") as app, app.transaction():
        app.execute("SELECT public.enter_tenant(%s)", (A,))
        if setting:
            app.execute(setting.encode())
        return "\n".join(str(row[0]) for row in app.execute(f"EXPLAIN {query}".encode()).fetchall())


def test_the_key_of_a_communication_leads_to_one_partition(listed: Database) -> None:
    made = create(listed)
    recipients = (
        f"public.communication_recipients WHERE communication_id = '{made['id']}'"
        f" AND communication_created_at = '{made['created_at']}'"
    )
    communication = (
        f"public.guest_communications WHERE id = '{made['id']}'"
        f" AND created_at = '{made['created_at']}'"
    )
    for what in (recipients, communication):
        found = plan(listed, f"SELECT * FROM {what}")
        assert re.search(r"_p\d{8}\b", found)
        assert "Append" not in found
    assert "Append" in plan(listed, "SELECT * FROM public.communication_recipients")


def test_recipients_join_their_communications_partition_by_partition(listed: Database) -> None:
    query = """
        SELECT message.message_title, count(*)
        FROM public.guest_communications AS message
        JOIN public.communication_recipients AS recipient
            ON recipient.organization_id = message.organization_id
                AND recipient.communication_id = message.id
                AND recipient.communication_created_at = message.created_at
        GROUP BY message.message_title
    """
    on = plan(listed, query, "SET LOCAL enable_partitionwise_join = on")
    off = plan(listed, query, "SET LOCAL enable_partitionwise_join = off")
    joins = ("Hash Join", "Nested Loop", "Merge Join")
    assert sum(on.count(join) for join in joins) > 1
    assert sum(off.count(join) for join in joins) == 1
