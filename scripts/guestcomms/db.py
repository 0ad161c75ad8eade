"""The only door to a database: no other module of this package imports psycopg.

What the others need of psycopg (types, SQL composition, SQLSTATE classes) is re-exported here, so
that a change of driver is a change of this file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString, TypeAlias

import psycopg
from psycopg import errors as sqlstates
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow, dict_row

from guestcomms.errors import UnreachableError

Connection: TypeAlias = psycopg.Connection[TupleRow]
DatabaseError = psycopg.Error
IDLE = psycopg.pq.TransactionStatus.IDLE
"""`connection.info.transaction_status` outside of transactions."""
IN_TRANSACTION = psycopg.pq.TransactionStatus.INTRANS
"""`connection.info.transaction_status` inside a transaction that has not failed."""
WAIT_POLL_SECONDS = 1.0
Query: TypeAlias = LiteralString | bytes | sql.SQL | sql.Composed

LIVENESS = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""A machine that vanished without a word is noticed within half a minute."""
LATER = frozenset({"25006", "40001", "40P01", "53300", "57P01", "57P02", "57P03"})
"""SQLSTATEs that mean the server, not the statement: a standby, a failover, no free connection."""

__all__ = [
    "IDLE",
    "IN_TRANSACTION",
    "Connection",
    "ConnectionLostError",
    "DatabaseError",
    "Query",
    "Session",
    "as_json",
    "connect",
    "database_of",
    "describe",
    "environment",
    "first_line",
    "login_of",
    "notices",
    "one_value",
    "rows",
    "sql",
    "sqlstates",
    "wait",
]


def connect(
    dsn: str,
    *,
    application_name: str,
    autocommit: bool = False,
    connect_timeout_seconds: int = 10,
) -> Connection:
    """Open one connection.

    Parameters: `dsn` as libpq takes it (URL or key=value); `application_name` is what operators see
    in pg_stat_activity. Statements are never prepared: commands run each of theirs once.
    Raises `UnreachableError`, which names the target and libpq's reason, and never the password.
    """
    try:
        return psycopg.connect(
            dsn,
            application_name=application_name,
            autocommit=autocommit,
            connect_timeout=connect_timeout_seconds,
            client_encoding="utf8",
            prepare_threshold=None,
        )
    except psycopg.ProgrammingError as error:
        raise UnreachableError(
            f"The connection string is not one that libpq understands ({first_line(error)}); "
            "give postgresql://user@host:port/database or key=value pairs."
        ) from None
    except psycopg.OperationalError as error:
        raise UnreachableError(
            f"No connection to {describe(dsn)}: {first_line(error)}; check host, port and login"
            " (`.venv/bin/guestcomms dsn` prints a stack's), and the server."
        ) from None


class ConnectionLostError(UnreachableError):
    """No answer came: the statement had its effect or not; the next call connects again."""


class Session:
    """A connection for programs that stay: each call is one statement, none needs the one before.

    So it works through a transaction pooler, and over a failover: what is lost is made anew with
    the next call. What a call that got no answer did is for the caller to know.
    """

    def __init__(self, dsn: str, *, application_name: str) -> None:
        self._dsn, self._application_name = dsn, application_name
        self._connection: Connection | None = None

    def rows(self, query: Query, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run one statement and return its rows.

        Raises `ConnectionLostError` if the same call may work later, `UnreachableError` for a
        connection string that is none, `DatabaseError` for what the server refused.
        """
        connection = self._open()
        try:
            return rows(connection, query, parameters)
        except psycopg.Error as error:
            if connection.closed or connection.broken or error.sqlstate in LATER:
                self.close()
                raise ConnectionLostError(
                    f"No answer from {describe(self._dsn)}: {first_line(error)}; look at the"
                    " server, then run it again."
                ) from error
            raise

    def close(self) -> None:
        """Let go of the connection; the next call makes another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        if self._connection is None:
            try:
                self._connection = connect(
                    _lively(self._dsn), application_name=self._application_name, autocommit=True
                )
            except UnreachableError as error:
                if isinstance(error.__context__, psycopg.OperationalError):
                    raise ConnectionLostError(str(error)) from error
                raise
        return self._connection


def wait(
    dsn: str,
    *,
    application_name: str,
    timeout_seconds: float,
    todo: str,
    report: Callable[[str], None],
) -> None:
    """Connect again and again, once a second, until the server answers a query.

    Parameters: as in `connect`; `todo` is the next step that the error ends with; `report` is told
    the reason of each attempt that failed.
    Raises `UnreachableError` with the last reason after `timeout_seconds`.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            with connect(
                dsn, application_name=application_name, connect_timeout_seconds=5
            ) as connection:
                connection.execute("SELECT 1")
                return
        except (UnreachableError, DatabaseError) as error:
            reason = first_line(error.__context__ or error)
        if time.monotonic() >= deadline:
            raise UnreachableError(
                f"{describe(dsn)} lets nobody in after {timeout_seconds:g} s ({reason}); {todo}."
            )
        report(reason)
        time.sleep(WAIT_POLL_SECONDS)


def _lively(dsn: str) -> str:
    """The same connection string with `LIVENESS`, where it says nothing else itself."""
    try:
        return make_conninfo(dsn, **{k: v for k, v in LIVENESS.items() if k not in dsn})
    except psycopg.ProgrammingError:
        return dsn  # connect() says what is wrong with it


def describe(dsn: str) -> str:
    """Name the target of a connection string for people, without its secrets."""
    parts = conninfo_to_dict(dsn)
    host = parts.get("host") or parts.get("hostaddr") or "the local socket"
    port = f":{parts['port']}" if parts.get("port") else ""
    login = f" as {parts['user']}" if parts.get("user") else ""
    return f"database {database_of(dsn)} on {host}{port}{login}"


def database_of(dsn: str) -> str:
    """The name of the database that a connection string leads to."""
    parts = conninfo_to_dict(dsn)
    return str(parts.get("dbname") or parts.get("user") or "postgres")


def login_of(dsn: str) -> str:
    """The login of a connection string; empty if it leaves that to libpq."""
    return str(conninfo_to_dict(dsn).get("user") or "")


def as_login(dsn: str, login: str, password: str) -> str:
    """The same way in for another login."""
    return make_conninfo(dsn, user=login, password=password)


def environment(dsn: str) -> dict[str, str]:
    """The same connection as libpq's environment variables, for a program like pg_dump.

    Arguments of a program are visible to every user of the machine, its environment is not.
    """
    names = {"dbname": "PGDATABASE"} | {
        name: f"PG{name.upper()}"
        for name in ("host", "hostaddr", "port", "user", "password", "passfile", "sslmode")
    }
    names |= {name: f"PG{name.upper()}" for name in ("sslrootcert", "sslcert", "sslkey", "options")}
    parts = conninfo_to_dict(dsn)
    return {variable: str(parts[name]) for name, variable in names.items() if parts.get(name)}


def rows(
    connection: Connection, query: Query, parameters: Sequence[Any] | Mapping[str, Any] = ()
) -> list[dict[str, Any]]:
    """Run one query and return its rows as dictionaries."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters or None).fetchall()


def one_value(connection: Connection, query: Query, parameters: Sequence[Any] = ()) -> Any:
    """Run a query that answers with one row of one column and return that value."""
    row = connection.execute(query, parameters or None).fetchone()
    return None if row is None else row[0]


def as_json(value: Any) -> str:
    """A value as text for a parameter of type jsonb."""
    return json.dumps(value, default=str)


@contextmanager
def notices(connection: Connection, hear: Callable[[str], None]) -> Iterator[None]:
    """Within, `hear` is told every NOTICE that the server sends, while its statement still runs."""

    def handler(said: psycopg.errors.Diagnostic) -> None:
        hear(said.message_primary or "")

    connection.add_notice_handler(handler)
    try:
        yield
    finally:
        connection.remove_notice_handler(handler)


def first_line(error: BaseException) -> str:
    """The first line of an explanation, without its full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else "no reason given"
