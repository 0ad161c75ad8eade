"""Faults seeded into a real repository: what pgBackRest's exit codes say, and what our checks say.

`make backup-faults` leaves its table in .state/evidence/backup-faults.json; see docs/backups.md.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml
from guestcomms import db, paths

from infra.machine.alerts import rule_files
from infra.machine.render import FILES
from infra.spec import ClusterSpec
from tests.db.agent import ENVIRONMENT, REPOSITORY, deliver, pgbackrest
from tests.db.repository import (
    BOTH,
    judge,
    kept_copy,
    kinds,
    moved_away,
    segments,
    take,
    write,
)
from tests.db.server import NUMBERS, Database, Server, bootstrapped_server
from tests.waiting import wait_until

QUERIES = yaml.safe_load(
    (FILES / "exporters/etc/guestcomms/exporter-queries.yml").read_text(encoding="utf-8")
)
CONDITIONS: dict[str, str] = {
    rule["alert"]: rule["expr"]
    for file in rule_files(ClusterSpec.load("local", {}))
    if file.path.endswith("/backups.yml")
    for group in yaml.safe_load(file.content)["groups"]
    for rule in group["rules"]
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own with a full backup, WAL, an incremental one, and WAL after it."""
    with bootstrapped_server({"archive_mode": "on"}) as running:
        yield deliver(running, tmp_path_factory.mktemp("agent"))


@pytest.fixture(scope="module")
def database(server: Server) -> Database:
    made = server.clone("template_full", f"test_{next(NUMBERS)}")
    pgbackrest(server, "stanza-create")
    take(made, "full")
    write(made, 4)
    take(made, "incremental")
    write(made, 3)
    return made


@pytest.fixture(scope="module")
def table() -> Iterator[list[dict[str, object]]]:
    """One line per fault, kept as evidence."""
    lines: list[dict[str, object]] = []
    yield lines
    paths.evidence("backup-faults").write_text(json.dumps(lines, indent=2) + "\n")


def series(database: Database) -> Iterator[dict[str, str]]:
    """What the exporter tells Prometheus of backups, in promtool's form."""
    yield {"series": 'pg_replication_is_replica{machine="pg-1"}', "values": "0x5"}
    for name in ("guestcomms_backup", "guestcomms_backup_check"):
        with database.connect("guestcomms_monitor") as connection:
            rows = db.rows(connection, QUERIES[name]["query"].encode())
        *_, value = QUERIES[name]["metrics"][-1]
        for row in rows:
            labels = "".join(f', {key}="{row[key]}"' for key in row if key != value)
            metric = f'{name}_{value}{{machine="pg-1"{labels}}}'
            yield {"series": metric, "values": f"{row[value]}x5"}


def firing(database: Database) -> set[str]:
    """The alerts whose shipped conditions the figures meet: promtool evaluates them.

    It is told to expect nothing of each, and names those that do not keep to it.
    Source: https://prometheus.io/docs/prometheus/2.53/configuration/unit_testing_rules/
    """
    expected = [
        {"expr": condition, "eval_time": "1m", "exp_samples": []}
        for condition in CONDITIONS.values()
    ]
    test = {"input_series": list(series(database)), "promql_expr_test": expected}
    write_it = [
        "sh",
        "-c",
        'printf %s "$1" > /tmp/alerts.yml',
        "sh",
        yaml.safe_dump({"tests": [test]}),
    ]
    database.server.run(*write_it)
    said = database.server.run("sh", "-c", "promtool test rules /tmp/alerts.yml 2>&1; true")
    alerts = {
        name for name, condition in CONDITIONS.items() if f"expr: {json.dumps(condition)}," in said
    }
    assert said.count("got:") == len(alerts), said
    assert ("SUCCESS" in said) == (not alerts), said
    return alerts


def exit_code(server: Server, *arguments: str) -> int:
    command = ["docker", "exec", "-u", "postgres", server.container, "env", *ENVIRONMENT]
    return subprocess.run(
        [*command, "pgbackrest", *arguments], capture_output=True, check=False
    ).returncode


def note(
    table: list[dict[str, object]], fault: str, database: Database, *, look: bool = True
) -> set[str]:
    """Make both checks and the tools' own; keep a line, and return the alerts."""
    server = database.server
    seen = judge(database)
    verify, check = (
        (exit_code(server, *command) for command in (("verify",), ("check",))) if look else (0, 0)
    )
    info = json.loads(pgbackrest(server, "info", "--output=json"))[0]["status"]["message"]
    alerts = firing(database)
    table.append(
        {
            "fault": fault,
            "pgbackrest verify": verify,
            "pgbackrest check": check,
            "pgbackrest info": info,
            "audit-wal": sorted(kinds(seen["wal_audit"])) or "sound",
            "verify": sorted(kinds(seen["verification"])) or "sound",
            "alerts": sorted(alerts),
            "seconds": [seen[kind]["seconds"] for kind in BOTH],
        }
    )
    return alerts


def test_a_sound_repository_is_found_sound(
    database: Database, table: list[dict[str, object]]
) -> None:
    assert note(table, "none", database) == set()
    audit, verification = (judge(database)[kind] for kind in BOTH)
    assert (audit["verdict"], verification["verdict"]) == ("sound", "sound")
    assert audit["figures"]["segments_needed"] >= 9
    assert [one["to"] for one in audit["restorable"]] == [None]
    assert audit["versions"]["pgbackrest"].startswith("2.")
    assert verification["figures"]["files"] > 20
    assert verification["tool"]["exit_status"] == 0


def test_a_flipped_byte_in_a_backup(database: Database, table: list[dict[str, object]]) -> None:
    server = database.server
    largest = largest_bundle(server)
    flip = (
        f"p = {largest!r}; b = bytearray(open(p, 'rb').read());"
        " b[len(b) // 2] ^= 1; open(p, 'wb').write(b)"
    )
    with kept_copy(server, largest):
        server.run("python3", "-c", flip)
        assert note(table, "a byte flipped in a backup", database) == {"BackupDamaged"}
        seen = judge(database, "verification")["verification"]
        assert seen["figures"]["backups_damaged"] >= 1
        assert largest.split("/")[-3] in {one.get("label") for one in seen["findings"]}
        assert "damaged" in kinds(seen)
        assert seen["tool"]["exit_status"] == 0
    assert judge(database, "verification")["verification"]["verdict"] == "sound"


def largest_bundle(server: Server) -> str:
    bundles = f"$(find {REPOSITORY}/backup -name '*F' -type d)/bundle/*"
    return server.run("sh", "-c", f"ls -S {bundles} | head -1").strip()


def test_a_bundle_cut_short(database: Database, table: list[dict[str, object]]) -> None:
    """Found by its size alone: in an S3 store pgBackRest's own look would not come to an end."""
    server = database.server
    cut = largest_bundle(server)
    with kept_copy(server, cut):
        server.run("truncate", "-s", "-1", cut)
        assert note(table, "a bundle of a backup cut short", database) == {"BackupDamaged"}
        seen = judge(database, "verification")["verification"]
        (finding,) = seen["findings"]
        assert finding["path"] == "/".join(cut.split("/")[-3:])
        assert seen["figures"]["backups_damaged"] == 1
        assert "not asked" in seen["tool"]["said"]


def test_a_missing_file_of_a_backup(database: Database, table: list[dict[str, object]]) -> None:
    server = database.server
    manifest = server.run("sh", "-c", f"ls {REPOSITORY}/backup/wedsync/*F/backup.manifest").strip()
    with moved_away(server, manifest), moved_copy_too(server, manifest):
        alerts = note(table, "a backup's manifest deleted", database)
        assert alerts == {"WalGap", "BackupDamaged"}


@contextmanager
def moved_copy_too(server: Server, manifest: str) -> Iterator[None]:
    server.run("mv", f"{manifest}.copy", "/tmp/away2")
    try:
        yield
    finally:
        server.run("mv", "/tmp/away2", f"{manifest}.copy")


@pytest.mark.parametrize(("when", "alert"), [("before", "WalGapInPast"), ("after", "WalGap")])
def test_a_deleted_segment(
    database: Database, table: list[dict[str, object]], when: str, alert: str
) -> None:
    """Before the newest backup some moments are lost, after it the present."""
    begins = database.value("SELECT max(wal_start) FROM communication_backups", "wedsync_ops")
    earlier = [one for one in segments(database.server) if one.rpartition("/")[2] < str(begins)]
    lost = earlier[-1] if when == "before" else segments(database.server)[-2]
    with moved_away(database.server, lost):
        assert note(table, f"a WAL segment deleted, {when} the newest backup", database) == {alert}
        seen = judge(database, "wal_audit")["wal_audit"]
        (gap,) = [one for one in seen["findings"] if one["kind"] == "gap"]
        assert gap["first"] in lost
        assert len(seen["restorable"]) == (2 if alert == "WalGapInPast" else 1)
        # What pgBackRest says of the same archive:
        assert pgbackrest(database.server, "verify", "--output=text", "--verbose").startswith(
            "stanza: wedsync\nstatus: ok"
        )


def test_a_truncated_segment(database: Database, table: list[dict[str, object]]) -> None:
    (*_, cut, _, _) = segments(database.server)
    with kept_copy(database.server, cut):
        database.server.run("truncate", "-s", "500", cut)
        assert note(table, "a WAL segment cut short", database) == {"BackupDamaged"}


def test_an_empty_segment(database: Database) -> None:
    (*_, cut, _, _) = segments(database.server)
    with kept_copy(database.server, cut):
        database.server.run("truncate", "-s", "0", cut)
        seen = judge(database, "wal_audit")["wal_audit"]
        assert "wrong_size" in kinds(seen)


def test_archiving_that_fails_is_stalled_after_a_while(
    database: Database, table: list[dict[str, object]]
) -> None:
    server = database.server
    server.execute("ALTER SYSTEM SET archive_timeout = 0")
    with setting(server, "archive_command", "'pgbackrest-is-not-here'"):
        database.execute("INSERT INTO public.filler SELECT 1")
        database.execute("SELECT pg_switch_wal()")
        status = "/var/lib/postgresql/data/pg_wal/archive_status"
        wait_until(lambda: ".ready" in server.run("ls", status))
        assert judge(database, "wal_audit")["wal_audit"]["verdict"] == "sound"  # it may yet come
        server.run("sh", "-c", f"touch -d '10 minutes ago' {status}/*.ready")
        assert note(table, "archiving fails for 10 minutes", database) == {"WalGap"}
        assert kinds(judge(database, "wal_audit")["wal_audit"]) == {"stalled"}
    wait_until(lambda: ".ready" not in server.run("ls", status), 70)
    assert judge(database, "wal_audit")["wal_audit"]["verdict"] == "sound"


def test_expiring_everything(database: Database, table: list[dict[str, object]]) -> None:
    server = database.server
    with kept_copy(server, REPOSITORY):
        pgbackrest(server, "stop")
        try:
            pgbackrest(server, "stanza-delete", "--force")
        finally:
            pgbackrest(server, "start")
        alerts = note(table, "everything deleted (stanza-delete)", database)
        assert alerts == {"WalGap", "BackupDamaged"}
    assert judge(database)["wal_audit"]["verdict"] == "sound"


def test_backups_deleted_behind_the_ledger(
    database: Database, table: list[dict[str, object]]
) -> None:
    server = database.server
    with kept_copy(server, f"{REPOSITORY}/backup"):
        server.run("sh", "-c", f"rm -rf {REPOSITORY}/backup/wedsync/2*")
        alerts = note(table, "all files of all backups deleted", database)
        assert alerts == {"WalGap", "BackupDamaged"}
        assert judge(database, "wal_audit")["wal_audit"]["restorable"] == []


def test_archiving_that_lies_is_a_hole_which_a_full_backup_heals(
    database: Database, table: list[dict[str, object]]
) -> None:
    """PostgreSQL is told that WAL is archived, and removes it: nothing else notices."""
    server = database.server
    with setting(server, "archive_command", "'true'"):
        write(database, 2)
        alerts = note(table, "archiving stopped (archive_command = true)", database)
        assert alerts == {"WalGap"}
        assert {"gap", "archiving_off"} == kinds(judge(database, "wal_audit")["wal_audit"])
    write(database, 1)
    alerts = note(table, "… and two segments of it lost", database)
    assert alerts == {"WalGap"}
    assert take(database, "full")["status"] == "completed"
    assert note(table, "… healed by a full backup", database) == {"WalGapInPast"}
    audit = judge(database, "wal_audit")["wal_audit"]
    assert [one["to"] is None for one in audit["restorable"]] == [False, True]


def test_damaged_pages(database: Database, table: list[dict[str, object]]) -> None:
    server = database.server
    server.execute("CREATE TABLE public.torn AS SELECT generate_series(1, 1000) AS n", "postgres")
    server.execute("CHECKPOINT")
    path = Database(server, "postgres").value("SELECT pg_relation_filepath('public.torn')")
    file = f"/var/lib/postgresql/data/{path}"
    tear = f"f = open({file!r}, 'r+b'); f.seek(9000); f.write(b'torn'); f.close()"
    server.run("python3", "-c", tear)
    torn = take(database, "full")
    assert torn["status"] == "failed"
    assert "damaged pages" in torn["error"]
    alerts = note(table, "a page of the database torn", database)
    assert {"BackupDamaged", "BackupFailed"} <= alerts
    assert "pages" in kinds(judge(database, "verification")["verification"])
    server.execute("DROP TABLE public.torn", "postgres")


@contextmanager
def setting(server: Server, name: str, value: str) -> Iterator[None]:
    """A setting, and then the one before."""
    former = Database(server, "postgres").value(f"SHOW {name}")
    server.execute(f"ALTER SYSTEM SET {name} = {value}")
    server.execute("SELECT pg_reload_conf()")
    wait_until(lambda: Database(server, "postgres").value(f"SHOW {name}") == value.strip("'"))
    try:
        yield
    finally:
        server.execute(f"ALTER SYSTEM SET {name} = '{former}'")
        server.execute("SELECT pg_reload_conf()")
