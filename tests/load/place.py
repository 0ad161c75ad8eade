"""A database with a pooler in one container: what load runs are tried on before a cluster is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from guestcomms import db
from guestcomms.load.target import Target

from tests.db.server import Database, Server
from tests.waiting import wait_until

CONFIGURATION = """
[databases]
{name} = host=/run/postgresql port=5432 pool_size={pool}
[pgbouncer]
logfile = /tmp/load.log
pidfile = /tmp/load.pid
listen_addr = 0.0.0.0
listen_port = 6432
unix_socket_dir = /run/postgresql
pool_mode = transaction
max_client_conn = 1000
max_prepared_statements = 200
auth_type = trust
auth_file = /tmp/users.txt
ignore_startup_parameters = extra_float_digits
"""
LOGINS = ("wedsync_app", "wedsync_worker", "wedsync_ops")


@contextmanager
def pooled(database: Database, pool: int = 10) -> Iterator[Target]:
    """The database behind a pooler of so many connections, as load runs see a stack."""
    server = database.server
    users = "\n".join(f'\\"{login}\\" \\"\\"' for login in LOGINS)
    server.run("sh", "-c", f'printf "{users}\n" > /tmp/users.txt')
    configuration = CONFIGURATION.format(name=database.name, pool=pool)
    server.run("sh", "-c", f"printf '%s' '{configuration}' > /tmp/load.ini")
    server.run("pgbouncer", "-d", "-q", "/tmp/load.ini")
    try:
        wait_until(lambda: _answers(address(server, database, "wedsync_app")))
        yield Target(
            "one container",
            "test",
            address(server, database, "wedsync_app"),
            address(server, database, "wedsync_worker"),
            address(server, database, "wedsync_ops"),
            database.dsn(),
            {"server": ("docker", "exec", "-i", server.container)},
        )
    finally:
        server.run("pkill", "-QUIT", "-x", "pgbouncer")
        wait_until(
            lambda: not server.run("pgrep", "-r", "D,R,S", "-x", "pgbouncer", check=False).strip()
        )


def address(server: Server, database: Database, login: str) -> str:
    return f"postgresql://{login}@{server.host}:{server.pooler_port}/{database.name}"


def _answers(dsn: str) -> bool:
    try:
        with db.connect(dsn, application_name="tests", autocommit=True) as connection:
            return bool(db.one_value(connection, "SELECT 1"))
    except Exception:  # noqa: BLE001  # not up yet, however that shows
        return False
