"""A real repository beside a test's server, with backups and WAL, and the agent's checks of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from guestcomms import db

from tests.db.agent import REPOSITORY, agent
from tests.db.server import Database, Server
from tests.db.test_backups import ask, row
from tests.waiting import wait_until

RUN = """
from infra.agent.backups import Backups
from infra.agent.deadline import Connection
from infra.agent.repository_checks import RepositoryChecks
primary = "host=/run/postgresql user=guestcomms_agent dbname={database}"
with Connection.connect(primary, autocommit=True) as db:
    for kind in {kinds}:
        checks = RepositoryChecks(machine, Path("/var/lib/postgresql/data/pg_wal"))
        assert checks.claim(db, kind)
        while checks._running:
            checks.step(db)
            time.sleep(0.05)
print("null")
"""
TAKE = """
from infra.agent.backups import Backups
from infra.agent.deadline import Connection
backups = Backups(machine)
primary = "host=/run/postgresql user=guestcomms_agent dbname={}"
with Connection.connect(primary, autocommit=True) as db:
    backups._claim(db)
    while backups._running is not None:
        backups.step(db)
        time.sleep(0.2)
print("null")
"""
RECONCILE = """
from infra.agent import pgbackrest
from infra.agent.backups import Backups
from infra.agent.deadline import Connection
primary = "host=/run/postgresql user=guestcomms_agent dbname={}"
with Connection.connect(primary, autocommit=True) as db:
    Backups(machine)._reconcile(db, pgbackrest.info("wedsync"))
print("null")
"""
WAL = f"{REPOSITORY}/archive/wedsync/17-1/0000000100000000"
BOTH = ("wal_audit", "verification")


def take(database: Database, kind: str) -> dict[str, Any]:
    backup_id = ask(database, kind)
    agent(database.server, TAKE.format(database.name))
    return row(database, backup_id)


def write(database: Database, segments: int) -> None:
    """Fill and archive so many segments."""
    for _ in range(segments):
        database.execute("CREATE TABLE IF NOT EXISTS public.filler (n int)", "postgres")
        database.execute("INSERT INTO public.filler SELECT 1")
        ended = str(database.value("SELECT pg_walfile_name(pg_switch_wal())"))
        wait_until(partial(is_archived, database, ended))


def is_archived(database: Database, segment: str) -> bool:
    query = f"SELECT last_archived_wal >= '{segment}' FROM pg_stat_archiver"
    return database.value(query) is True


def reconcile(database: Database) -> None:
    """Let the agent compare ledger and repository."""
    agent(database.server, RECONCILE.format(database.name))


def judge(database: Database, *kinds: str) -> dict[str, dict[str, Any]]:
    """Have the checks made through the ledger, and return their evidence by kind."""
    for kind in kinds or BOTH:
        database.value(f"SELECT public.request_backup_check('{kind}')", "wedsync_ops")
    agent(database.server, RUN.format(database=database.name, kinds=list(kinds or BOTH)))
    with database.connect("wedsync_ops") as connection:
        rows = db.rows(
            connection,
            "SELECT DISTINCT ON (kind) kind, status, error, evidence"
            " FROM communication_backup_checks ORDER BY kind, requested_at DESC",
        )
    assert {one["status"] for one in rows} == {"completed"}, rows
    return {one["kind"]: one["evidence"] for one in rows}


def kinds(evidence: dict[str, Any]) -> set[str]:
    return {finding["kind"] for finding in evidence["findings"]}


@contextmanager
def moved_away(server: Server, path: str) -> Iterator[None]:
    server.run("mv", path, "/tmp/away")
    try:
        yield
    finally:
        server.run("mv", "/tmp/away", path)


@contextmanager
def kept_copy(server: Server, path: str) -> Iterator[None]:
    """Whatever happens to a file or folder, it comes back."""
    server.run("cp", "-a", path, "/tmp/copy")
    try:
        yield
    finally:
        server.run("rm", "-rf", path)
        server.run("mv", "/tmp/copy", path)


def segments(server: Server) -> list[str]:
    return sorted(server.run("sh", "-c", f"ls -d {WAL}/*-*").split())
