"""Pool sizes as the database wants them, applied to this machine's PgBouncer and read back.

The wanted values are checked again here, against the bounds of communication_pool_config: whoever
can write that table shall still not be able to write anything else into a configuration file.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from infra.agent import checks, database, paths
from infra.agent.deadline import Connection
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.files import File, install

POOL = "production"  # the pool in front of the one database
CONFIRM_EVERY = 60.0  # seconds after which an unchanged pool is compared and reported again
MOST_CONNECTIONS = 5000
RESERVED = 30  # as internal.check_pool_config() keeps: replication, agents, migrations, people
TOLERANCE = 0.01  # seconds: PgBouncer keeps times as fractions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pool:
    """What a pool shall be like; times in milliseconds.

    `max_connections` are those of each login, `total` those of all logins together.
    """

    min_connections: int
    max_connections: int
    total: int
    connection_timeout_ms: int
    idle_timeout_ms: int
    revision: int


class Pools:
    """Keeps this machine's PgBouncer at what the database wants."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._reported: Pool | None = None
        self._confirmed = 0.0

    def step(self, connection: Connection) -> None:
        """Apply and report the wanted pool if it changed, or if it is time to compare again.

        How busy it is, is reported each time: pools with autoscale follow that.

        Raises:
            AgentError: a wanted value is out of bounds, or PgBouncer does not take it.
            psycopg.Error: the database or PgBouncer's console gives no answer.
        """
        wanted = desired(connection)
        if wanted is None:
            return
        due = time.monotonic() - self._confirmed > CONFIRM_EVERY
        if wanted != self._reported or due:
            self._settle(connection, wanted)
        with Connection.connect(database.pooler_console(), autocommit=True) as console:
            waiting, active = load(show(console, "POOLS"), self._machine.database)
        connection.execute(
            "SELECT internal.report_pool_load(%s, %s, %s, %s)",
            [POOL, self._machine.name, waiting, active],
        )

    def _settle(self, connection: Connection, wanted: Pool) -> None:
        values = apply(wanted, self._machine.database)
        connection.execute(
            "SELECT internal.report_pool_applied(%s, %s, %s, %s)",
            [POOL, self._machine.name, wanted.revision, Jsonb(values)],
        )
        if wanted != self._reported:
            log.info("revision %d applied: %s", wanted.revision, values)
        self._reported, self._confirmed = wanted, time.monotonic()


def desired(connection: Connection) -> Pool | None:
    """Return the wanted pool of the database, checked; None where none is wanted.

    Raises:
        AgentError: a value is out of bounds.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT min_connections, max_connections, connection_timeout_ms, idle_timeout_ms,"
            " revision, current_setting('max_connections')::bigint - %s AS total"
            " FROM internal.desired_pools() WHERE pool_name = %s",
            [RESERVED, POOL],
        ).fetchall()
    return check(rows[0]) if rows else None


def check(row: Mapping[str, Any]) -> Pool:
    """Return the pool that `row` describes.

    Raises:
        AgentError: names the value that is out of bounds.
    """
    most = checks.number(row["max_connections"], "max_connections", 1, MOST_CONNECTIONS)
    return Pool(
        min_connections=checks.number(row["min_connections"], "min_connections", 0, most),
        max_connections=most,
        total=checks.number(row["total"], "total", most, 2**18),
        connection_timeout_ms=checks.number(
            row["connection_timeout_ms"], "connection_timeout_ms", 1_000, 300_000
        ),
        idle_timeout_ms=checks.number(row["idle_timeout_ms"], "idle_timeout_ms", 1_000, 86_400_000),
        revision=checks.number(row["revision"], "revision", 0, 2**63 - 1),
    )


def settings(pool: Pool) -> dict[str, float]:
    """Return what PgBouncer shall run with, by the names it shows; times in seconds.

    PgBouncer keeps a pool for each login. At `max_db_connections`, which it shows as
    max_connections, it closes a connection of one login to open one for another, whose plans and
    caches begin empty: so that is what PostgreSQL can give, and no login's size.
    https://www.pgbouncer.org/config.html#max_db_connections
    """
    return {
        "pool_size": pool.max_connections,
        "min_pool_size": pool.min_connections,
        "max_connections": pool.total,
        "query_wait_timeout": pool.connection_timeout_ms / 1000,
        "server_idle_timeout": pool.idle_timeout_ms / 1000,
    }


def render(pool: Pool, name: str) -> str:
    """Return the file that pgbouncer.ini includes at its end: the pool of database `name`.

    PgBouncer sets everything to its default where a section [pgbouncer] begins, so the file begins
    none: its first lines continue the one that includes it.
    """
    wanted = settings(pool)
    sizes = f"pool_size={wanted['pool_size']} min_pool_size={wanted['min_pool_size']}"
    return (
        f"; The pool of database {name}, revision {pool.revision} of communication_pool_config.\n"
        "; It continues the section [pgbouncer] of pgbouncer.ini.\n"
        f"query_wait_timeout = {wanted['query_wait_timeout']:.3f}\n"
        f"server_idle_timeout = {wanted['server_idle_timeout']:.3f}\n"
        "\n"
        "[databases]\n"
        f"{name} = host={paths.POSTGRESQL_SOCKETS} port=5432 dbname={name} {sizes}"
        f" max_db_connections={wanted['max_connections']}\n"
    )


def apply(pool: Pool, name: str) -> dict[str, float]:
    """Bring PgBouncer to `pool` without dropping a client and return the values it then has.

    Raises:
        AgentError: PgBouncer runs with other values after it has read the file.
        psycopg.Error: its console gives no answer.
    """
    wanted = settings(pool)
    content = render(pool, name).encode()
    install(File(paths.POOLS, content, "postgres", "postgres", 0o640))
    with Connection.connect(database.pooler_console(), autocommit=True) as console:
        if differs(wanted, read_back(console, name)):
            console.execute("RELOAD")
        found = read_back(console, name)
    different = differs(wanted, found)
    if different:
        raise AgentError(
            f"PgBouncer has other values than wanted for {', '.join(different)}: {found};"
            f" see that {paths.POOLS} is included and not overridden"
        )
    return found


def read_back(console: Connection, name: str) -> dict[str, float]:
    """Return the settings of database `name` that PgBouncer runs with."""
    databases = {row["name"]: row for row in show(console, "DATABASES")}
    config = {row["key"]: row["value"] for row in show(console, "CONFIG")}
    entry = databases.get(name, {})
    sizes = ("pool_size", "min_pool_size", "max_connections")
    times = ("query_wait_timeout", "server_idle_timeout")
    return {
        **{key: int(entry[key]) for key in sizes if entry.get(key) is not None},
        **{key: float(config[key]) for key in times if config.get(key) is not None},
    }


def show(console: Connection, what: str) -> list[dict[str, Any]]:
    """Return the rows of a SHOW command of PgBouncer's console."""
    with console.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(f"SHOW {what}".encode()).fetchall()


def load(pools: Iterable[Mapping[str, Any]], name: str) -> tuple[int, int]:
    """Return how many clients of database `name` wait, and how many connections serve one.

    PgBouncer has one pool for each login: clients are those of all, connections of the busiest.
    """
    ours = [pool for pool in pools if pool["database"] == name]
    return (
        sum(int(pool["cl_waiting"]) for pool in ours),
        max((int(pool["sv_active"]) for pool in ours), default=0),
    )


def differs(wanted: Mapping[str, float], found: Mapping[str, float]) -> list[str]:
    """Return the names of the settings that PgBouncer has otherwise, or not at all."""
    return [key for key, value in wanted.items() if abs(found.get(key, -1.0) - value) > TOLERANCE]
