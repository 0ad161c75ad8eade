"""The exporter's own queries, as its login, on a database with measurements."""

from __future__ import annotations

import pytest
import yaml
from guestcomms import db

from infra.machine.render import FILES
from tests.db import test_backup_checks, test_backups
from tests.db.server import Database

FILE = FILES / "exporters" / "etc" / "guestcomms" / "exporter-queries.yml"
QUERIES = yaml.safe_load(FILE.read_text(encoding="utf-8"))


def failed(database: Database, name: str) -> set[str]:
    """Of which types or kinds the last one failed, as the alert on it sees that."""
    with database.connect("guestcomms_monitor") as connection:
        rows = db.rows(connection, QUERIES[name]["query"].encode())
    if name == "guestcomms_backup":
        return {row["backup_type"] for row in rows if row["failed"]}
    return {row["kind"] for row in rows if row["figure"] == "failed" and row["value"]}


def test_a_backup_has_failed_until_one_like_it_or_a_full_one_is_stored(database: Database) -> None:
    test_backups.complete_next(database)
    assert failed(database, "guestcomms_backup") == set()
    for kind in ("full", "incremental"):
        backup_id = test_backups.ask(database, kind)
        test_backups.claim(database)
        test_backups.fail(database, backup_id)
    assert failed(database, "guestcomms_backup") == {"full", "incremental"}
    test_backups.complete_next(database, label="20260103-030405F")
    stored = "UPDATE communication_backups SET completed_at = now() WHERE label = '{}'"
    database.execute(stored.format("20260103-030405F"))
    assert failed(database, "guestcomms_backup") == set()


def test_a_check_has_failed_until_one_of_its_kind_ends(database: Database) -> None:
    check_id = test_backup_checks.ask(database)
    for attempt in (1, 2, 3):
        assert failed(database, "guestcomms_backup_check") == set()
        test_backup_checks.claim(database)
        test_backup_checks.fail(database, check_id, attempt)
        test_backup_checks.end_leases(database)
    assert failed(database, "guestcomms_backup_check") == {"wal_audit"}
    test_backup_checks.judged(database, "verification", test_backup_checks.SOUND)
    assert failed(database, "guestcomms_backup_check") == {"wal_audit"}
    test_backup_checks.judged(database, "wal_audit", test_backup_checks.SOUND)
    assert failed(database, "guestcomms_backup_check") == set()


def test_a_restore_of_a_table_proves_no_backup(database: Database) -> None:
    test_backups.complete_next(database)
    database.execute(
        "UPDATE communication_backups SET started_at = now() - interval '1 hour',"
        " completed_at = now() - interval '1 hour';"
        "INSERT INTO communication_restore_drills (drill_id, target_type, target, status,"
        " started_at, label, completed_at, verdict, findings, reached_lsn, restore_seconds,"
        " recovery_seconds) VALUES ('drill_20260102_030405_000000', 'lsn', '0/1', 'completed',"
        " now(), '20260102-030405F', now(), 'proven', '[1]', '0/1', 1, 1)"
    )
    query = f"SELECT unproven_seconds >= 3600 FROM ({QUERIES['guestcomms_restore']['query']})"
    assert database.value(query, "guestcomms_monitor") is True
    database.execute(
        "UPDATE communication_restore_drills SET target_type = 'point', target = 'now'"
    )
    assert database.value(query, "guestcomms_monitor") is False


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_answers_with_the_columns_it_names(database: Database, name: str) -> None:
    database.execute("SELECT * FROM public.collect_performance_metrics()")
    with database.connect("guestcomms_monitor") as connection:
        rows = db.rows(connection, QUERIES[name]["query"].encode())
    assert rows
    wanted = [column for metric in QUERIES[name]["metrics"] for column in metric]
    assert list(rows[0]) == wanted
    labels = [tuple(value for key, value in row.items() if key != wanted[-1]) for row in rows]
    assert len(labels) == len(set(labels)), "Prometheus refuses a label set twice"
