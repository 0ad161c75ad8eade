"""Waiting for a server that does not let us in yet."""

from __future__ import annotations

import pytest
from guestcomms import db
from guestcomms.errors import UnreachableError

from tests.db.server import Database


def test_waiting_ends_when_the_server_lets_us_in(empty: Database) -> None:
    reasons: list[str] = []

    def open_the_door(reason: str) -> None:
        reasons.append(reason)
        empty.server.execute(f"ALTER DATABASE {empty.name} ALLOW_CONNECTIONS true")

    empty.server.execute(f"ALTER DATABASE {empty.name} ALLOW_CONNECTIONS false")
    db.wait(
        empty.dsn(), application_name="tests", timeout_seconds=30, todo="-", report=open_the_door
    )
    assert len(reasons) == 1
    assert "not currently accepting connections" in reasons[0]


def test_waiting_in_vain_says_why_and_what_to_do(empty: Database) -> None:
    empty.server.execute(f"ALTER DATABASE {empty.name} ALLOW_CONNECTIONS false")
    with pytest.raises(UnreachableError, match=r"nobody in after 1 s \(.*accepting.*\); look\.$"):
        db.wait(
            empty.dsn(),
            application_name="tests",
            timeout_seconds=1,
            todo="look",
            report=lambda _reason: None,
        )
