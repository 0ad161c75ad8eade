"""Connection pools: wishes within bounds, and the truth about what is applied."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from guestcomms import db

from tests.db.server import Database

AGENT = "guestcomms_agent"
# The server has 400 connections: pools may take 370.
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


@pytest.mark.parametrize("wish", [371, 500, 5000])
def test_a_wish_that_starves_postgresql_is_refused(database: Database, wish: int) -> None:
    with pytest.raises(db.DatabaseError, match="370 remain") as refusal:
        database.execute(WISH.format(wish), "wedsync_ops")
    assert refusal.value.sqlstate == "GC121"
    assert pool(database)["max_connections"] == 20


def test_two_wishes_at_once_do_not_both_fit(database: Database) -> None:
    insert = (
        "INSERT INTO public.communication_pool_config (pool_name, min_connections, max_connections,"
        " connection_timeout_ms, idle_timeout_ms) VALUES ('{}', 0, 200, 5000, 30000)"
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


AUTOSCALE = """
UPDATE communication_pool_config
SET autoscale = true, autoscale_min = 10, autoscale_max = {}, min_connections = 5
WHERE pool_name = 'production'
"""
BOUNDS = """
UPDATE communication_pool_config SET autoscale = true, autoscale_min = {}, autoscale_max = {}
"""
A_MINUTE_AGO = "UPDATE communication_pool_config SET updated_at = now() - interval '2 minutes'"
IDLE_LONG = "UPDATE internal.pool_loads SET idle_since = now() - interval '11 minutes'"


def load(database: Database, waiting: int, active: int, node: str = "pg-1") -> int:
    """Report how busy a pooler is; returns how many connections the pool then shall have."""
    database.execute(
        f"SELECT internal.report_pool_load('production', '{node}', {waiting}, {active})", AGENT
    )
    return int(pool(database)["max_connections"])


def test_a_pool_grows_when_clients_wait_three_times(database: Database) -> None:
    database.execute(AUTOSCALE.format(28), "wedsync_ops")
    database.execute(A_MINUTE_AGO)
    assert [load(database, 4, 20) for _ in range(2)] == [20, 20]
    assert load(database, 0, 20) == 20  # a pause: it is counted from the start
    assert [load(database, 4, 20) for _ in range(3)] == [20, 20, 25]
    assert [load(database, 4, 20) for _ in range(4)] == [25] * 4  # one change a minute
    database.execute(A_MINUTE_AGO)
    assert load(database, 4, 20) == 28  # never more than autoscale_max
    database.execute(A_MINUTE_AGO)
    assert [load(database, 4, 20) for _ in range(4)] == [28] * 4


def test_a_pool_shrinks_when_all_machines_are_idle_for_long(database: Database) -> None:
    database.execute(AUTOSCALE.format(40), "wedsync_ops")
    database.execute(A_MINUTE_AGO)
    assert load(database, 0, 2) == 20
    assert load(database, 0, 18, "pg-2") == 20
    database.execute(f"{IDLE_LONG} WHERE node = 'pg-1'")
    assert load(database, 0, 18, "pg-2") == 20  # one machine is busy
    assert load(database, 0, 1, "pg-2") == 20  # idle, but not for long
    database.execute(IDLE_LONG)
    assert load(database, 0, 1) == 16
    database.execute(A_MINUTE_AGO)
    assert load(database, 0, 1) == 16  # ten minutes are counted again
    for _ in range(3):
        load(database, 0, 1, "pg-2")
        database.execute(f"{A_MINUTE_AGO}; {IDLE_LONG}")
        load(database, 0, 1)
    assert pool(database)["max_connections"] == 10  # never fewer than autoscale_min


def test_a_pool_without_autoscale_stays(database: Database) -> None:
    database.execute(A_MINUTE_AGO)
    assert [load(database, 9, 20) for _ in range(5)] == [20] * 5


def test_a_pool_stays_when_postgresql_has_no_more(database: Database) -> None:
    database.execute(WISH.format(365), "wedsync_ops")
    database.execute(AUTOSCALE.format(5000), "wedsync_ops")
    database.execute(A_MINUTE_AGO)
    assert [load(database, 9, 365) for _ in range(4)] == [365] * 4


@pytest.mark.parametrize("bounds", ["10, NULL", "NULL, NULL", "20, 10", "0, 10", "10, 5001"])
def test_autoscale_needs_bounds(database: Database, bounds: str) -> None:
    low, high = bounds.split(", ")
    with pytest.raises(db.sqlstates.CheckViolation):
        database.execute(BOUNDS.format(low, high), "wedsync_ops")


@pytest.mark.parametrize("arguments", ["'other', 'pg-1', 1, 1", "'production', 'pg-1', NULL, 1"])
def test_a_load_of_nothing_is_refused(database: Database, arguments: str) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute(f"SELECT internal.report_pool_load({arguments})", AGENT)
    assert refusal.value.sqlstate == "GC122"


@pytest.mark.parametrize("arguments", ["'other', 'pg-1', 1", "'production', 'pg-1', 2"])
def test_a_report_about_nothing_is_refused(database: Database, arguments: str) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute(f"SELECT internal.report_pool_applied({arguments}, '{{}}')", AGENT)
    assert refusal.value.sqlstate == "GC122"
