"""A server that is frozen holds the agent up for its deadline and no longer."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import psycopg
import pytest

from infra.agent.deadline import Connection
from tests.db.server import Database

PATIENCE = 1.0  # seconds


@pytest.fixture
def frozen(database: Database) -> Iterator[Connection]:
    """A connection whose backend is stopped: its kernel still answers, it never does."""
    with Connection.connect(database.dsn("guestcomms_agent"), autocommit=True) as connection:
        connection.deadline = PATIENCE
        backend = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert backend is not None
        database.server.run("kill", "-STOP", str(backend[0]))
        try:
            yield connection
        finally:
            database.server.run("kill", "-CONT", str(backend[0]))


def test_a_statement_ends_with_the_deadline_and_the_connection_with_it(frozen: Connection) -> None:
    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError, match="no answer within 1 s"):
        frozen.execute("SELECT 1")
    assert PATIENCE <= time.monotonic() - began < PATIENCE + 2
    assert frozen.closed


def test_notifications_end_with_their_own_time(frozen: Connection) -> None:
    assert list(frozen.notifies(timeout=0.3)) == []
    assert not frozen.closed


def test_a_server_that_answers_is_left_alone_whatever_it_takes_together(database: Database) -> None:
    with Connection.connect(database.dsn("guestcomms_agent"), autocommit=True) as connection:
        connection.deadline = PATIENCE
        for _ in range(3):
            connection.execute("SELECT pg_sleep(0.5)")
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_statement_that_fails_says_its_own_reason(database: Database) -> None:
    with (
        Connection.connect(database.dsn("guestcomms_agent"), autocommit=True) as connection,
        pytest.raises(psycopg.OperationalError, match="terminating connection"),
    ):
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_connecting_to_a_server_that_says_nothing_ends_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            Connection.connect(
                f"host=127.0.0.1,127.0.0.1 port={port},{port} user=x connect_timeout=2"
            )
        assert time.monotonic() - began < 6
