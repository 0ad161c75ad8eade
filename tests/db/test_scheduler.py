"""pg_cron's launcher is started anew when it runs nothing, and left alone when it does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from infra.agent import scheduler
from tests.db.server import Server
from tests.waiting import wait_until

LAUNCHER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_cron launcher'"
AT_ONCE = timedelta(0)


@pytest.fixture
def connection(server: Server) -> Iterator[psycopg.Connection[Any]]:
    """To the database of pg_cron, with one job that is due each minute."""
    with psycopg.connect(server.dsn("wedsync"), autocommit=True) as superuser:
        superuser.execute("SELECT cron.schedule('each-minute', '* * * * *', 'SELECT 1')")
        wait_until(lambda: launcher(superuser) is not None)
        yield superuser
        superuser.execute("SELECT cron.unschedule('each-minute')")
        superuser.execute("DELETE FROM cron.job_run_details")


def launcher(connection: psycopg.Connection[Any]) -> int | None:
    row = connection.execute(LAUNCHER).fetchone()
    return None if row is None else int(row[0])


def test_a_launcher_that_runs_nothing_is_replaced(connection: psycopg.Connection[Any]) -> None:
    before = launcher(connection)
    assert scheduler.ensure(connection, AT_ONCE)
    wait_until(lambda: launcher(connection) not in (None, before))


def test_one_that_lost_the_word_of_a_job_is_told(connection: psycopg.Connection[Any]) -> None:
    connection.execute("SELECT cron.schedule('known', '1 second', 'SELECT 1')")
    wait_until(lambda: runs(connection, "known") > 1)
    with connection.transaction():  # without triggers nobody tells the launcher
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE cron.job SET command = 'SELECT 2' WHERE jobname = 'known'")
    told = "SELECT 2"
    before = runs(connection, "known")
    wait_until(lambda: runs(connection, "known") > before + 2)
    assert runs(connection, "known", told) == 0
    assert not scheduler.ensure(connection)
    wait_until(lambda: runs(connection, "known", told) > 0)
    connection.execute("SELECT cron.unschedule('known')")


def runs(connection: psycopg.Connection[Any], job: str, command: str = "%") -> int:
    row = connection.execute(
        "SELECT count(*) FROM cron.job_run_details JOIN cron.job USING (jobid)"
        " WHERE jobname = %s AND job_run_details.command LIKE %s",
        [job, command],
    ).fetchone()
    return int(row[0]) if row else 0


def test_one_that_has_just_started_has_time(connection: psycopg.Connection[Any]) -> None:
    assert not scheduler.ensure(connection, timedelta(days=1))


def test_one_that_runs_jobs_stays(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "INSERT INTO cron.job_run_details (jobid, runid, start_time)"
        " VALUES (1, 9000000, clock_timestamp() + interval '1 minute')"
    )
    assert not scheduler.ensure(connection, AT_ONCE)


def test_where_no_job_is_due_each_minute_nothing_is_expected(
    connection: psycopg.Connection[Any],
) -> None:
    connection.execute("SELECT cron.schedule('each-minute', '0 0 1 1 *', 'SELECT 1')")
    assert not scheduler.ensure(connection, AT_ONCE)


def test_a_database_without_pg_cron_is_left_alone(server: Server) -> None:
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as superuser:
        assert not scheduler.ensure(superuser, AT_ONCE)
