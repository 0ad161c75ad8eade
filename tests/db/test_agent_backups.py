"""The agent takes the ledger's backups with a real pgBackRest, and keeps the stanza alive."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.db.agent import ENVIRONMENT, REPOSITORY, agent, deliver, pgbackrest
from tests.db.repository import (
    TAKE,
    judge,
    kept_copy,
    kinds,
    moved_away,
    reconcile,
    segments,
    take,
    write,
)
from tests.db.server import Database, Server, bootstrapped_server
from tests.db.test_backups import ask, row
from tests.waiting import wait_until

ENSURE = """
from infra.agent import stanza
from infra.agent.errors import AgentError
try:
    print(json.dumps([stanza.ensure("wedsync", leads=True), ""]))
except AgentError as error:
    print(json.dumps([False, str(error)]))
"""
READY = "/var/lib/guestcomms/stanza-ready"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of its own: archiving is a matter of its start."""
    with bootstrapped_server({"archive_mode": "on"}) as running:
        yield running


@pytest.fixture(scope="module")
def archiving(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    return deliver(server, tmp_path_factory.mktemp("agent"))


@pytest.fixture
def stanza(archiving: Server) -> Server:
    archiving.run("rm", "-rf", REPOSITORY, READY)
    pgbackrest(archiving, "stanza-create")
    return archiving


@contextmanager
def another_backup_at_work(server: Server) -> Iterator[None]:
    """A pgBackRest that holds its lock and does nothing."""
    command = ["docker", "exec", "-u", "postgres", server.container, "env", *ENVIRONMENT]
    with subprocess.Popen([*command, "pgbackrest", "backup"], stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: "backup" in server.run("ls", "/tmp/lock", check=False))
        server.run("pkill", "-STOP", "-x", "pgbackrest")
        try:
            yield
        finally:
            server.run("pkill", "-KILL", "-x", "pgbackrest")
            process.wait(10)


def test_an_incremental_backup_without_a_full_one_is_a_full_one(
    database: Database, stanza: Server
) -> None:
    first = take(database, "incremental")
    assert (first["status"], first["backup_type"], first["label"][-1]) == ("completed", "full", "F")
    second = take(database, "incremental")
    assert (second["status"], second["backup_type"], second["label"][-1]) == (
        "completed", "incremental", "I",
    )  # fmt: skip
    assert second["label"] in pgbackrest(stanza, "info")


def test_a_backup_leaves_the_processors_to_the_database(database: Database, stanza: Server) -> None:
    def priorities() -> set[str]:
        running = stanza.run("ps", "-C", "pgbackrest", "-o", "ni=,args=", check=False).splitlines()
        return {line.split()[0] for line in running if line.endswith(" backup")}

    with ThreadPoolExecutor() as beside:
        taken = beside.submit(take, database, "full")
        seen: set[str] = set()
        while not taken.done():
            seen |= priorities()
    assert (taken.result()["status"], seen) == ("completed", {"19"})


def test_a_stop_file_fails_the_backup_at_once(database: Database, stanza: Server) -> None:
    pgbackrest(stanza, "stop")
    try:
        stopped = take(database, "full")
    finally:
        pgbackrest(stanza, "start")
    assert (stopped["status"], stopped["attempts"]) == ("failed", 1)
    assert "stop file exists" in stopped["error"]


def test_a_lock_costs_an_attempt_and_not_the_backup(database: Database, stanza: Server) -> None:
    with another_backup_at_work(stanza):
        locked = take(database, "full")
    assert (locked["status"], locked["attempts"]) == ("running", 1)
    assert "unable to acquire lock" in locked["error"]
    database.execute("UPDATE public.communication_backups SET lease_until = now()")
    agent(stanza, TAKE.format(database.name))
    taken = row(database, locked["backup_id"])
    assert (taken["status"], taken["attempts"], taken["error"]) == ("completed", 2, None)


def test_a_machine_without_a_working_pgbackrest_tries_three_times(
    database: Database, archiving: Server
) -> None:
    backup_id = ask(database)
    without = "import os; os.environ['PATH'] = '/nowhere'\n" + TAKE.format(database.name)
    for status in ("running", "running", "failed"):
        agent(archiving, without)
        seen = row(database, backup_id)
        assert (seen["status"], "not installed" in seen["error"]) == (status, True)
        database.execute(
            "UPDATE public.communication_backups SET lease_until = now() WHERE status = 'running'"
        )


def test_a_stanza_that_is_gone_is_made_again_at_the_next_look(archiving: Server) -> None:
    archiving.run("rm", "-rf", REPOSITORY, READY)
    assert agent(archiving, ENSURE) == [True, ""]
    archiving.run("rm", "-rf", REPOSITORY)
    assert agent(archiving, ENSURE) == [True, ""]  # it looked just now
    assert "missing stanza path" in pgbackrest(archiving, "info")
    archiving.run("touch", "-d", "11 minutes ago", READY)
    assert agent(archiving, ENSURE) == [True, ""]
    assert "status: error (no valid backups)" in pgbackrest(archiving, "info")
    assert archiving.run("find", READY, "-mmin", "-1") != ""


def test_a_stanza_of_another_system_stays_an_error(archiving: Server) -> None:
    archiving.run("rm", "-rf", REPOSITORY, READY)
    other = "/tmp/other"
    archiving.run("/usr/lib/postgresql/17/bin/initdb", "-D", other, "--no-sync")
    pgbackrest(archiving, "stanza-create", "--no-online", f"--pg1-path={other}")
    for _ in range(2):
        ready, complaint = agent(archiving, ENSURE)
        assert ready is False
        assert "do not match the database" in complaint or "does not match" in complaint
        assert archiving.run("ls", READY, check=False).startswith("ls: cannot access")
    archiving.run("rm", "-rf", other, REPOSITORY)


def test_damage_is_seen_where_pgbackrest_ends_with_0(database: Database, stanza: Server) -> None:
    """The rest of what may happen to a repository: `make backup-faults`."""
    take(database, "full")
    write(database, 3)
    sound = judge(database)
    assert {kind: one["verdict"] for kind, one in sound.items()} == {
        "wal_audit": "sound", "verification": "sound",
    }  # fmt: skip
    with moved_away(stanza, segments(stanza)[-2]):
        said = pgbackrest(stanza, "verify", "--output=text", "--verbose")
        assert said.startswith("stanza: wedsync\nstatus: ok")
        seen = judge(database, "wal_audit")["wal_audit"]
        assert (kinds(seen), seen["figures"]["latest_restorable"]) == ({"gap"}, 0)
    bundle = stanza.run("sh", "-c", f"ls -S {REPOSITORY}/backup/wedsync/*F/bundle/* | head -1")
    with kept_copy(stanza, bundle.strip()):
        spoil = f"dd if=/dev/urandom of={bundle.strip()} bs=1 seek=5000 count=100 conv=notrunc"
        stanza.run("sh", "-c", f"{spoil} 2>&1")
        pgbackrest(stanza, "verify")
        assert "damaged" in kinds(judge(database, "verification")["verification"])
        stanza.run("truncate", "-s", "-100", bundle.strip())
        assert kinds(judge(database, "verification")["verification"]) == {"damaged_file"}


def test_the_ledger_is_rebuilt_from_the_repository(database: Database, stanza: Server) -> None:
    """A restored database does not know the backups taken after the moment it was restored to."""
    labels = {take(database, kind)["label"] for kind in ("full", "incremental")}
    database.execute("DELETE FROM public.communication_backups")
    reconcile(database)
    with database.connect("wedsync_ops") as connection:
        rows = connection.execute("SELECT label, status FROM public.communication_backups")
        assert set(rows.fetchall()) == {(label, "completed") for label in labels}
    assert stanza.run("ls", REPOSITORY) != ""
