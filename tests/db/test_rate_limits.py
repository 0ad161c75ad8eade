"""Limits of calls: counted exactly, refused without an error, the same for everybody at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from guestcomms import db

from tests.db import script
from tests.db.server import Database

A = "018f0000-0000-7000-8000-000000000001"
NIL = "00000000-0000-0000-0000-000000000000"
B = "018f0000-0000-7000-8000-000000000002"
MANUAL = script.manual(21)


@pytest.fixture
def limited(database: Database) -> Database:
    """At most 10 sends a day."""
    database.execute(f"SELECT create_organization('{A}', 'A', 'UTC', '{{wedsync_app}}')")
    database.execute(f"SELECT create_organization('{B}', 'B', 'UTC', '{{wedsync_app}}')")
    rule(database, "send", 10)
    return database


def rule(
    database: Database, endpoint: str, limit: int, organization: str = NIL, window: str = "1 day"
) -> None:
    with database.connect("wedsync_ops") as connection:
        connection.execute(
            "INSERT INTO internal.rate_limit_rules"
            " (organization_id, endpoint, request_limit, window_length) VALUES (%s, %s, %s, %s)",
            (organization, endpoint, limit, window),
        )


def check(
    database: Database,
    *,
    cost: int | None = 1,
    organization: str = A,
    identifier: str | None = "ann",
    endpoint: str | None = "send",
) -> dict[str, Any]:
    with database.connect("wedsync_app") as connection:
        return db.rows(
            connection,
            "SELECT * FROM check_rate_limit(%s, %s, %s, %s)",
            (organization, identifier, endpoint, cost),
        )[0]


def test_the_eleventh_is_refused_and_counted(limited: Database) -> None:
    answers = [check(limited) for _ in range(12)]
    assert [one["allowed"] for one in answers] == [True] * 10 + [False] * 2
    assert [one["remaining"] for one in answers[:3]] == [9, 8, 7]
    assert answers[0]["retry_after"] == timedelta(0) < answers[-1]["retry_after"]


def test_the_manual_sees_violations(limited: Database) -> None:
    """A limit of nothing: both are refused also when an hour ends between them."""
    rule(limited, "closed", 0, window="1 hour")
    check(limited)
    check(limited, endpoint="closed")
    check(limited, endpoint="closed")
    with limited.connect("wedsync_ops") as connection:
        (row,) = db.rows(connection, MANUAL.encode())
    assert (row["identifier"], row["endpoint"], row["total_requests"]) == ("ann", "closed", 2)
    assert row["violations"] >= 1


def test_what_was_refused_uses_nothing_up(limited: Database) -> None:
    check(limited, cost=8)
    assert not check(limited, cost=5)["allowed"]
    assert check(limited, cost=2) | {"retry_after": None} == {
        "allowed": True, "remaining": 0, "request_limit": 10, "retry_after": None,
    }  # fmt: skip


def test_fifty_at_once_are_counted_exactly(limited: Database) -> None:
    rule(limited, "hot", 100)
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: check(limited, endpoint="hot"), range(150)))
    assert sum(one["allowed"] for one in answers) == 100
    counted = "SELECT request_count || ' ' || refused_count FROM communication_rate_limits"
    assert limited.value(counted) == "150 50"


def test_only_the_first_refusal_goes_to_the_audit(limited: Database) -> None:
    for _ in range(14):
        check(limited)
    query = (
        "SELECT count(*) FROM communication_security_audit WHERE event_type = 'rate_limit_exceeded'"
    )
    assert limited.value(query, "wedsync_ops") == 1


def test_organizations_and_callers_are_counted_apart(limited: Database) -> None:
    check(limited, cost=10)
    assert check(limited, identifier="bob")["allowed"]
    assert check(limited, organization=B)["allowed"]


def test_the_rule_of_the_organization_comes_first_and_star_last(limited: Database) -> None:
    rule(limited, "send", 3, B)
    assert check(limited, organization=B)["request_limit"] == 3
    assert check(limited)["request_limit"] == 10
    assert check(limited, endpoint="anything")["request_limit"] == 6000


@pytest.mark.parametrize(
    "values",
    [{"identifier": None}, {"identifier": ""}, {"endpoint": "x" * 201}, {"endpoint": None},
     {"cost": 0}, {"cost": -1}, {"cost": None}, {"cost": 1000001}],
    ids=str,
)  # fmt: skip
def test_nonsense_is_not_counted(limited: Database, values: dict[str, Any]) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        check(limited, **values)
    assert refusal.value.sqlstate == "GC453"
    assert limited.value("SELECT count(*) FROM communication_rate_limits") == 0


def test_without_any_rule_nothing_is_let_through_silently(limited: Database) -> None:
    limited.execute("DELETE FROM internal.rate_limit_rules", "wedsync_ops")
    with pytest.raises(db.DatabaseError) as refusal:
        check(limited)
    assert refusal.value.sqlstate == "GC454"


def test_old_windows_are_forgotten(limited: Database) -> None:
    check(limited)
    limited.execute("UPDATE communication_rate_limits SET window_start = now() - interval '8 days'")
    assert limited.value("SELECT internal.expire_rate_limits()", "guestcomms_cron") == 1
