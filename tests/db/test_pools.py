"""Connection pools: wishes within bounds, and the truth about what is applied."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from guestcomms import db

from tests.db.server import Database

AGENT = "guestcomms_agent"
# The server has 200 connections: pools may take 170.
WISH = "UPDATE communication_pool_config SET max_connections = {} WHERE pool_name = 'production'"

CHANGE = "UPDATE communication_pool_config SET {} = {} WHERE pool_name = 'production'"


def pool(database: Database) -> dict[str, Any]:
    with database.connect() as connection:
        return db.rows(connection, "SELECT * FROM public.communication_pool_config")[0]


def report(database: Database, node: str, revision: int) -> None:
    database.execute(
        f"SELECT internal.report_pool_applied('production', '{node}', {revision},"
        f""" '{{"max_connections": {revision}}}')""",
        AGENT,
    )


def test_a_new_database_wants_what_a_new_pooler_has(database: Database) -> None:
    with database.connect(AGENT) as connection:
        assert connection.execute("SELECT * FROM internal.desired_pools()").fetchall() == [
            ("production", 0, 20, 30000, 600000, 1)
        ]


def test_a_wish_counts_as_applied_when_every_machine_has_it(database: Database) -> None:
    report(database, "pg-1", 1)
    report(database, "pg-2", 1)
    assert pool(database)["applied_at"] is not None
    database.execute(WISH.format(60), "wedsync_ops")
    assert (pool(database)["revision"], pool(database)["applied_at"]) == (2, None)
    report(database, "pg-1", 2)
    assert pool(database)["applied_at"] is None
    report(database, "pg-2", 2)
    wanted = pool(database)
    assert wanted["applied_at"] is not None
    assert wanted["applied_values"] == {
        "pg-1": {"max_connections": 2},
        "pg-2": {"max_connections": 2},
    }
    assert (wanted["revision"], wanted["updated_by"]) == (2, "wedsync_ops")


@pytest.mark.parametrize("wish", [171, 300, 5000])
def test_a_wish_that_starves_postgresql_is_refused(database: Database, wish: int) -> None:
    with pytest.raises(db.DatabaseError, match="170 remain") as refusal:
        database.execute(WISH.format(wish), "wedsync_ops")
    assert refusal.value.sqlstate == "GC121"
    assert pool(database)["max_connections"] == 20


def test_two_wishes_at_once_do_not_both_fit(database: Database) -> None:
    insert = (
        "INSERT INTO public.communication_pool_config (pool_name, min_connections, max_connections,"
        " connection_timeout_ms, idle_timeout_ms) VALUES ('{}', 0, 100, 5000, 30000)"
    )

    def wish(name: str) -> str | None:
        try:
            database.execute(insert.format(name), "wedsync_ops")
        except db.DatabaseError as refusal:
            return refusal.sqlstate
        return None

    with ThreadPoolExecutor(2) as threads:
        assert sorted(map(str, threads.map(wish, ("one", "two")))) == ["GC121", "None"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("max_connections", 0), ("min_connections", -1), ("min_connections", 21),
        ("connection_timeout_ms", 10), ("idle_timeout_ms", 0),
    ],
)  # fmt: skip
def test_values_out_of_bounds_are_refused(database: Database, column: str, value: int) -> None:
    with pytest.raises(db.sqlstates.CheckViolation):
        database.execute(CHANGE.format(column, value), "wedsync_ops")


@pytest.mark.parametrize("arguments", ["'other', 'pg-1', 1", "'production', 'pg-1', 2"])
def test_a_report_about_nothing_is_refused(database: Database, arguments: str) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute(f"SELECT internal.report_pool_applied({arguments}, '{{}}')", AGENT)
    assert refusal.value.sqlstate == "GC122"
