"""Causes of the alerts of rules/traffic.yml."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg

from tests.ops.alerts.causes.common import Cause, standby, stopped, superuser
from tests.ops.cluster.harness import Cluster

POOL = 25
"""More clients than a pool has server connections."""
SCANNED = """
CREATE UNLOGGED TABLE public.scanned AS
SELECT repeat('x', 1000)
FROM pg_settings, generate_series(1, setting::int * 7 * 3 / 2)
WHERE name = 'shared_buffers'
"""
"""Seven rows a page, half as many pages again as shared_buffers has."""


def pooler_stops(cluster: Cluster) -> AbstractContextManager[None]:
    return stopped(cluster, "pgbouncer", standby(cluster))


@contextmanager
def pool_is_used_up(cluster: Cluster) -> Iterator[None]:
    dsn, done = cluster.dsn("--role", "ops"), threading.Event()

    def hold() -> None:
        with contextlib.suppress(psycopg.Error), psycopg.connect(dsn) as connection:
            connection.execute("SELECT 1")  # the transaction keeps the server connection
            done.wait(240)

    with _threads(POOL, hold, done):
        yield


@contextmanager
def statements_fail(cluster: Cluster) -> Iterator[None]:
    """They read a table: PostgreSQL reports a session's rollbacks together with what it read."""
    done, dsn = threading.Event(), cluster.dsn("--role", "ops")

    def fail() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not done.wait(0.02):
                with contextlib.suppress(psycopg.Error):
                    connection.execute("SELECT 1 / count(*) FROM pg_class WHERE false")

    with _threads(1, fail, done):
        yield


@contextmanager
def statements_are_slow(cluster: Cluster) -> Iterator[None]:
    done, dsn = threading.Event(), cluster.dsn("--role", "ops", "--direct")

    def sleep() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not done.is_set():
                connection.execute("SELECT pg_sleep(3)")

    with _threads(10, sleep, done):
        yield


@contextmanager
def tables_are_read_from_disk(cluster: Cluster) -> Iterator[None]:
    """A table that does not fit into shared_buffers is read again and again."""
    leader, done = cluster.leader, threading.Event()
    superuser(cluster, leader, SCANNED)
    dsn = cluster.dsn("--role", "ops", "--direct")
    superuser(cluster, leader, "GRANT SELECT ON public.scanned TO PUBLIC")

    def scan() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not done.wait(0.05):
                connection.execute("SELECT count(*) FROM public.scanned")

    try:
        with _threads(1, scan, done):
            yield
    finally:
        superuser(cluster, leader, "DROP TABLE public.scanned")


@contextmanager
def _threads(count: int, work: Callable[[], None], done: threading.Event) -> Iterator[None]:
    """Work in some threads until the context is left."""
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


CAUSES = (
    Cause(("PoolerDown",), "PgBouncer is stopped on a standby", pooler_stops),
    Cause(("PoolWaiting", "ActiveConnectionsHigh"), "25 clients hold transactions in a pool of 20",
          pool_is_used_up),
    Cause(("ErrorRateHigh",), "statements fail, 50 a second", statements_fail),
    Cause(("QueryTimeHigh",), "ten clients run statements of 3 s", statements_are_slow),
    Cause(("CacheHitLow",), "a table larger than shared_buffers is read again and again",
          tables_are_read_from_disk),
)  # fmt: skip
