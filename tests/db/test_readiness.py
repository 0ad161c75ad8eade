"""verify_production_readiness(): each check is seen green, red and unknown by real causes."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

import pytest
from guestcomms import db

from tests.db.server import Database, Server
from tests.db.tenant_rows import organization
from tests.db.test_backups import ask, claim, complete, result
from tests.db.test_keys import KEY_FILE, another_machine
from tests.waiting import wait_until

EVERY = 22


def judge(database: Database, login: str = "wedsync_ops") -> dict[str, dict[str, str]]:
    with database.connect(login) as connection:
        rows = db.rows(connection, "SELECT * FROM public.verify_production_readiness()")
    return {row.pop("check_name"): row for row in rows}


def status(database: Database, check: str, login: str = "wedsync_ops") -> str:
    return judge(database, login)[check]["status"]


def wait_for(database: Database, check: str, wanted: str) -> None:
    wait_until(lambda: status(database, check) == wanted, problem=lambda: judge(database)[check])


@contextlib.contextmanager
def standby(server: Server, name: str) -> Iterator[None]:
    """A real receiver of the write-ahead log that confirms what it has written."""
    receiver = [
        "/usr/lib/postgresql/17/bin/pg_receivewal", "--synchronous", "-D", f"/tmp/{name}",
        "-d", f"host=/run/postgresql application_name={name}",
    ]  # fmt: skip
    server.run("mkdir", "-p", f"/tmp/{name}")
    command = ["docker", "exec", "-u", "postgres", server.container, *receiver]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            server.run("pkill", "-INT", "-f", f"application_name={name}")
            process.wait(10)


@contextlib.contextmanager
def setting(server: Server, name: str, value: str) -> Iterator[None]:
    server.execute(f"ALTER SYSTEM SET {name} = {value}")
    server.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        server.execute(f"ALTER SYSTEM RESET {name}")
        server.execute("SELECT pg_reload_conf()")


def test_every_row_says_what_to_do_unless_it_passes(database: Database) -> None:
    rows = judge(database)
    assert len(rows) == EVERY
    for name, row in rows.items():
        assert row["status"] in {"pass", "warn", "fail", "unknown"}, name
        assert row["value"], name
        assert row["threshold"], name
        assert (row["what_to_do"] == "") == (row["status"] == "pass"), name


def test_a_lonely_server_is_not_ready(database: Database) -> None:
    rows = judge(database)
    assert {name for name, row in rows.items() if row["status"] == "fail"} == {
        "standbys_streaming", "synchronous_standby", "wal_archiving", "full_backup",
        "durable_writes", "connections_encrypted",
    }  # fmt: skip
    assert {name for name, row in rows.items() if row["status"] == "unknown"} == {
        "replication_lag", "restore_proven", "wal_audited", "backups_verified",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("check", "before", "breakage", "after"),
    [
        ("row_security", "pass",
         "ALTER TABLE public.organizations NO FORCE ROW LEVEL SECURITY", "fail"),
        ("public_execute", "pass",
         "GRANT EXECUTE ON FUNCTION public.enter_tenant(uuid) TO PUBLIC", "fail"),
        ("extensions", "pass", "DROP EXTENSION amcheck", "fail"),
        ("scheduled_jobs", "pass", "UPDATE cron.job SET active = false WHERE jobid = 1", "fail"),
        ("scheduled_jobs", "pass",
         "INSERT INTO cron.job_run_details (jobid, runid, status) VALUES (1, 1, 'failed')", "warn"),
        ("scheduled_jobs", "pass", "DROP EXTENSION pg_cron", "unknown"),
        ("encryption_keys", "pass", "DROP TABLE public.communication_encryption_keys CASCADE",
         "unknown"),
        ("partitions", "pass", "CREATE TABLE public.rest PARTITION OF delivery_status DEFAULT",
         "fail"),
        ("partitions", "pass", "DROP FUNCTION internal.partition_months()", "unknown"),
        ("login_bindings", "warn",
         "INSERT INTO internal.unrestricted_logins VALUES ('vanished', 'x')", "fail"),
        ("full_backup", "fail", "DROP TABLE public.communication_backups CASCADE", "unknown"),
        ("connections_encrypted", "fail", "REVOKE pg_monitor FROM comms_ops", "unknown"),
    ],
)  # fmt: skip
def test_a_cause_turns_its_check(
    database: Database, check: str, before: str, breakage: str, after: str
) -> None:
    assert status(database, check) == before
    try:
        database.execute(breakage)
        assert status(database, check) == after
    finally:
        database.execute("GRANT pg_monitor TO comms_ops")


def test_an_invalid_index_fails(database: Database) -> None:
    assert status(database, "invalid_indexes") == "pass"
    for _ in range(2):
        database.execute("SELECT create_organization(NULL, 'same')", "wedsync_ops")
    with pytest.raises(db.sqlstates.UniqueViolation):
        database.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON public.organizations (name)")
    row = judge(database)["invalid_indexes"]
    assert (row["status"], row["value"]) == ("fail", "public.broken")


def test_a_backup_passes_while_it_is_young_and_whole(database: Database) -> None:
    backup_id = ask(database)
    claim(database)
    complete(database, backup_id, result())
    assert status(database, "full_backup") == "pass"
    age = "UPDATE public.communication_backups SET started_at = now() - '2 days'::interval,"
    database.execute(f"{age} completed_at = now() - interval '27 hours'")
    assert status(database, "full_backup") == "fail"
    database.execute(f"{age} completed_at = now(), checksum_errors = 1")
    assert status(database, "full_backup") == "fail"


def test_only_a_drill_proves_a_restore(database: Database) -> None:
    backup_id = ask(database)
    claim(database)
    complete(database, backup_id, result())
    assert status(database, "restore_proven") == "unknown"
    database.execute(
        "INSERT INTO communication_restore_drills (drill_id, target, status, started_at, label,"
        " completed_at, verdict, findings, reached_lsn, restore_seconds, recovery_seconds)"
        " VALUES ('drill_20260102_030405_000000', 'now', 'completed', now(), '20260102-030405F',"
        " now(), 'proven', '[1]', '0/1', 1, 1)"
    )
    assert status(database, "restore_proven") == "pass"
    drill = "UPDATE communication_restore_drills SET"
    # A restore to a moment, of a table for one, compares no content.
    database.execute(f"{drill} target_type = 'time', target = '2026-01-02 03:04:05+00'")
    assert status(database, "restore_proven") == "fail"
    database.execute(f"{drill} target_type = 'point', target = 'now'")
    database.execute(f"{drill} verdict = 'refuted'")
    assert status(database, "restore_proven") == "fail"
    database.execute(f"{drill} verdict = 'proven', completed_at = now() - interval '49 hours'")
    assert status(database, "restore_proven") == "fail"


def test_a_refuted_backup_is_not_forgotten_after_a_restore_of_a_table(database: Database) -> None:
    for number, (kind, target, verdict) in enumerate(
        [("point", "now", "proven"), ("point", "now", "refuted"), ("lsn", "0/1", "proven")]
    ):
        database.execute(
            "INSERT INTO communication_restore_drills (drill_id, target_type, target, status,"
            " started_at, label, completed_at, verdict, findings, reached_lsn, restore_seconds,"
            f" recovery_seconds) VALUES ('drill_2026010{number}_030405_000000', '{kind}',"
            f" '{target}', 'completed', now(), '20260102-030405F', now(), '{verdict}', '[1]',"
            " '0/1', 1, 1)"
        )
    assert status(database, "restore_proven") == "fail"


def test_bindings_pass_when_every_login_has_one(database: Database) -> None:
    logins = "ARRAY['wedsync_app']::name[]"
    database.execute(f"SELECT create_organization(NULL, 'A', 'UTC', {logins})", "wedsync_ops")
    assert status(database, "login_bindings") == "pass"


def test_standbys_count_while_they_stream(database: Database, server: Server) -> None:
    assert status(database, "standbys_streaming") == "fail"
    with standby(server, "first"):
        wait_for(database, "standbys_streaming", "warn")
        assert status(database, "synchronous_standby") == "fail"  # it streams, nobody waits for it
        with standby(server, "second"), setting(server, "synchronous_standby_names", "'*'"):
            wait_for(database, "standbys_streaming", "pass")
            wait_for(database, "synchronous_standby", "pass")
            with setting(server, "synchronous_commit", "local"):
                wait_for(database, "synchronous_standby", "fail")
    wait_for(database, "standbys_streaming", "fail")


def test_keys_open_on_the_machine_that_has_its_key(database: Database, server: Server) -> None:
    organization(database)  # which has its first keys
    assert status(database, "encryption_keys") == "pass"
    with another_machine(server):
        row = judge(database)["encryption_keys"]
        assert row["status"] == "fail"
        assert not row["value"].startswith("0 keys")
    server.run("mv", KEY_FILE, f"{KEY_FILE}.away")
    try:
        assert "cannot be read" in judge(database)["encryption_keys"]["value"]
    finally:
        server.run("mv", f"{KEY_FILE}.away", KEY_FILE)
    assert status(database, "encryption_keys") == "pass"


def test_a_slot_without_reader_warns(database: Database, server: Server) -> None:
    assert status(database, "replication_slots") == "pass"
    server.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
    try:
        assert status(database, "replication_slots") == "warn"
    finally:
        server.execute("SELECT pg_drop_replication_slot('forgotten')")


def test_dangerous_settings_fail(database: Database, server: Server) -> None:
    with setting(server, "fsync", "on"):
        wait_for(database, "durable_writes", "pass")
        with setting(server, "full_page_writes", "off"):
            wait_for(database, "durable_writes", "fail")


def test_full_connections_are_judged(database: Database) -> None:
    assert status(database, "connections") == "pass"
    with contextlib.ExitStack() as many:
        for _ in range(342):
            many.enter_context(database.connect("wedsync_app"))
        assert status(database, "connections") == "warn"


def test_whoever_may_not_see_gets_unknown_not_pass(database: Database) -> None:
    """comms_monitor without pg_monitor: what is hidden from a caller is not fine."""
    database.execute("REVOKE pg_monitor FROM comms_monitor")
    database.execute("REVOKE USAGE ON SCHEMA cron FROM comms_monitor")
    try:
        rows = judge(database, "wedsync_monitor")
    finally:
        database.execute("GRANT pg_monitor TO comms_monitor")
    for check in (
        "standbys_streaming", "synchronous_standby", "replication_lag", "connections_encrypted",
        "scheduled_jobs",
    ):  # fmt: skip
        assert rows[check]["status"] == "unknown", check
        assert rows[check]["what_to_do"], check


def test_others_may_not_ask(database: Database) -> None:
    with pytest.raises(db.sqlstates.InsufficientPrivilege):
        judge(database, "wedsync_app")
