"""Through a real PgBouncer: migrations are refused, and passwords are what lets a login in."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from guestcomms import db, migrate
from guestcomms.errors import RefusedError

from infra.agent.prepare import pooler_users
from tests.db.server import Database, Server
from tests.waiting import wait_until

CONFIGURATION = """
[databases]
* = host=/run/postgresql port=5432
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = 6432
unix_socket_dir =
pool_mode = transaction
default_pool_size = 1
auth_type = any
ignore_startup_parameters = extra_float_digits,options
"""


@pytest.fixture
def pooled(database: Database) -> Iterator[str]:
    """A connection string of the migrator through a pooler."""
    server = database.server
    # auth_type any needs the user in the database line: one pooler for one login.
    configuration = CONFIGURATION.replace("port=5432", "port=5432 user=wedsync_migrator")
    dsn = f"postgresql://wedsync_migrator@{server.host}:{server.pooler_port}/{database.name}"
    with pooler(server, configuration):
        wait_until(lambda: answers(dsn))
        yield dsn


@contextmanager
def pooler(server: Server, configuration: str) -> Iterator[None]:
    """A running PgBouncer in the server's container."""
    server.run("sh", "-c", f"printf '%s' '{configuration}' > /tmp/pgbouncer.ini")
    command = ["docker", "exec", "-u", "postgres", server.container]
    with subprocess.Popen(
        [*command, "pgbouncer", "-q", "/tmp/pgbouncer.ini"],
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            server.run("pkill", "-x", "pgbouncer")
            process.wait(10)


@pytest.fixture
def by_password(server: Server) -> Iterator[str]:
    """The address of a pooler that looks passwords up as ours does, and two logins."""
    lookup = "SELECT usename, passwd FROM pgbouncer.get_auth($1)"
    configuration = CONFIGURATION.replace(
        "auth_type = any",
        "auth_type = scram-sha-256\nauth_file = /tmp/userlist.txt\nauth_user = pgbouncer\n"
        f"auth_dbname = wedsync\nauth_query = {lookup}",
    )
    server.run("sh", "-c", f"printf '%s' '{pooler_users(b'').decode()}' > /tmp/userlist.txt")
    for login, how in {"test_member": "IN ROLE comms_app", "test_stranger": ""}.items():
        server.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'correct' {how}")
        server.execute(f"GRANT CONNECT ON DATABASE wedsync TO {login}")
    with pooler(server, configuration):
        address = f"host={server.host} port={server.pooler_port} dbname=wedsync"
        wait_until(lambda: "test_member" in enter(address, "test_member", "correct"))
        yield address
    server.execute("REVOKE CONNECT ON DATABASE wedsync FROM test_member, test_stranger", "wedsync")
    server.execute("DROP ROLE test_member, test_stranger")


def enter(address: str, login: str, password: str) -> str:
    """Who one is on the other side, or why one is not let in."""
    try:
        with psycopg.connect(f"{address} user={login} password={password}") as connection:
            return str(db.one_value(connection, "SELECT session_user"))
    except psycopg.OperationalError as error:
        return f"refused: {error}"


def answers(dsn: str) -> bool:
    try:
        with db.connect(dsn, application_name="tests", autocommit=True) as connection:
            return bool(db.one_value(connection, "SELECT 1"))
    except Exception:  # noqa: BLE001  # not up yet, however that shows
        return False


def test_a_pooler_is_noticed_and_refused(pooled: str) -> None:
    for call in (migrate.apply, migrate.plan):
        with pytest.raises(RefusedError, match="reached through a connection pooler"):
            call(pooled)


def test_the_same_database_without_it_is_fine(database: Database, pooled: str) -> None:
    assert answers(pooled)
    assert migrate.apply(database.dsn()).migrations == ()


def test_a_member_of_our_groups_enters_with_its_password(by_password: str) -> None:
    assert enter(by_password, "test_member", "correct") == "test_member"
    assert "authentication failed" in enter(by_password, "test_member", "wrong")


@pytest.mark.parametrize("login", ["test_stranger", "postgres", "guestcomms_agent", "nobody"])
def test_nobody_else_does(by_password: str, login: str) -> None:
    assert enter(by_password, login, "correct").startswith("refused: ")


@pytest.mark.parametrize("password", ["correct", "pgbouncer", "''"])
@pytest.mark.parametrize("place", ["wedsync", "pgbouncer"])
def test_the_pooler_s_own_role_never_enters(by_password: str, password: str, place: str) -> None:
    address = by_password.replace("dbname=wedsync", f"dbname={place}")
    assert enter(address, "pgbouncer", password).startswith("refused: ")
