"""Through a real PgBouncer in transaction mode migrations are refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from guestcomms import db, migrate
from guestcomms.errors import RefusedError

from tests.db.server import Database
from tests.db.test_apply import wait_until

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
    server.run("sh", "-c", f"printf '%s' '{configuration}' > /tmp/pgbouncer.ini")
    command = ["docker", "exec", "-u", "postgres", server.container]
    with subprocess.Popen(
        [*command, "pgbouncer", "-q", "/tmp/pgbouncer.ini"],
        stderr=subprocess.DEVNULL,
    ) as process:
        dsn = f"postgresql://wedsync_migrator@{server.host}:{server.pooler_port}/{database.name}"
        try:
            wait_until(lambda: answers(dsn))
            yield dsn
        finally:
            server.run("pkill", "-x", "pgbouncer")
            process.wait(10)


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
