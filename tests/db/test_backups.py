"""The ledger of backups: asked for once, taken once, whatever agents do at the same time."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from guestcomms import db

from tests.db.server import Database

AGENT = "guestcomms_agent"


def result(**changes: object) -> dict[str, object]:
    """What an agent reports of a backup that ended now."""
    now = datetime.now(UTC)
    return {
        "label": "20260102-030405F",
        "type": "full",
        "backup_size_bytes": 31457280,
        "repository_size_bytes": 4194304,
        "lsn_start": "0/2000028",
        "lsn_stop": "0/2000158",
        "wal_start": "000000010000000000000002",
        "wal_stop": "000000010000000000000002",
        "started_at": (now - timedelta(seconds=9)).isoformat(),
        "completed_at": now.isoformat(),
        "checksum_errors": 0,
    } | changes


def ask(database: Database, kind: str = "full", login: str = "wedsync_ops") -> str:
    query = f"SELECT (public.backup_communication_system('{kind}')).backup_id"
    return str(database.value(query, login))


def claim(database: Database, node: str = "pg-1", lease: str = "1 minute") -> list[tuple[Any, ...]]:
    with database.connect(AGENT) as connection:
        return connection.execute(
            "SELECT * FROM internal.claim_backup(%s, %s)", (node, lease)
        ).fetchall()


def complete(
    database: Database, backup_id: str, values: object, node: str = "pg-1", attempt: int = 1
) -> None:
    with database.connect(AGENT) as connection:
        connection.execute(
            "SELECT internal.complete_backup(%s, %s, %s, %s)",
            (backup_id, node, attempt, json.dumps(values)),
        )


def fail(
    database: Database,
    backup_id: str,
    attempt: int = 1,
    pause: str | None = None,
    reason: str = "repository is full",
) -> object:
    with database.connect(AGENT) as connection:
        return db.one_value(
            connection,
            "SELECT internal.fail_backup(%s, 'pg-1', %s, %s, %s)",
            (backup_id, attempt, reason, pause),
        )


def complete_next(database: Database, **changes: object) -> str:
    backup_id = ask(database)
    claim(database)
    complete(database, backup_id, result(**changes))
    return backup_id


def row(database: Database, backup_id: str) -> dict[str, Any]:
    with database.connect() as connection:
        query = "SELECT * FROM public.communication_backups WHERE backup_id = %s"
        return db.rows(connection, query, (backup_id,))[0]


def end_lease(database: Database) -> None:
    database.execute(
        "UPDATE public.communication_backups SET lease_until = now() - interval '1 second'"
        " WHERE status = 'running'"
    )


def test_from_request_to_completion(database: Database) -> None:
    backup_id = ask(database)
    assert row(database, backup_id)["requested_by"] == "wedsync_ops"
    assert claim(database) == [(backup_id, "full", 1)]
    evidence = {"what": "backup", "verdict": "sound", "versions": {"pgbackrest": "2.55.1"}}
    complete(database, backup_id, result(evidence=evidence))
    done = row(database, backup_id)
    assert done["evidence"] == evidence
    assert (done["status"], done["label"], done["node"]) == (
        "completed", "20260102-030405F", "pg-1",
    )  # fmt: skip
    assert (done["row_count"] >= 0, done["lsn_stop"], done["lease_until"]) == (
        True,
        "0/2000158",
        None,
    )
    complete(database, backup_id, result())  # an agent that lost our answer says it again
    assert row(database, backup_id) == done


def test_asking_twice_is_asking_once_until_somebody_takes_it(database: Database) -> None:
    first = ask(database)
    assert ask(database, login="guestcomms_cron") == first
    assert ask(database, "incremental") != first
    claim(database)
    assert ask(database) != first


def test_asking_at_once_makes_one_request(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: ask(database), range(8)))
    assert len(made) == 1


def test_a_request_wakes_whoever_listens(database: Database) -> None:
    with database.connect(AGENT) as connection:
        connection.execute("LISTEN guestcomms_backup")
        backup_id = ask(database)
        heard = next(connection.notifies(timeout=10))
    assert heard.payload == backup_id


def test_eight_agents_claim_one_backup(database: Database) -> None:
    ask(database)
    ask(database, "incremental")
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda number: claim(database, f"pg-{number}"), range(1, 9)))
    assert sorted(len(one) for one in claims) == [0] * 7 + [1]


def test_one_runs_at_a_time_and_the_oldest_first(database: Database) -> None:
    first, second = ask(database), ask(database, "incremental")
    assert claim(database, "pg-1") == [(first, "full", 1)]
    assert claim(database, "pg-2") == []
    complete(database, first, result())
    assert claim(database, "pg-2") == [(second, "incremental", 1)]


def test_a_failure_keeps_its_reason(database: Database) -> None:
    backup_id = ask(database)
    claim(database)
    for _ in range(2):  # saying it again changes nothing
        assert fail(database, backup_id) == "failed"
    failed = row(database, backup_id)
    assert (failed["status"], failed["error"]) == ("failed", "repository is full")
    assert failed["failed_at"] is not None
    told = failed["evidence"]
    assert (told["what"], told["verdict"], told["node"]) == ("backup", "failed", "pg-1")
    assert told["findings"] == [{"kind": "failed", "what": "repository is full"}]
    assert told["versions"]["postgresql"].startswith("17.")


@pytest.mark.parametrize(
    "values",
    [
        None,
        {},
        result(label=None),
        result(type=None),
        result(type="weekly"),
        result(type="incr"),  # of a label that says full
        result(label="20260102-030405F_20260102-040405I"),
        result(label="20260102-030405F_20260102-040405D", type="incr"),
        result(label="latest; rm -rf /"),
        result(backup_size_bytes=-1),
        result(backup_size_bytes="many"),
        result(lsn_stop="0/1"),
        result(wal_start="../../etc/passwd"),
        result(completed_at="2020-01-01T00:00:00Z"),
        result(started_at="yesterday evening"),
    ],
)
def test_an_unusable_result_is_refused(database: Database, values: object) -> None:
    backup_id = ask(database)
    claim(database)
    with pytest.raises(db.DatabaseError) as refusal:
        complete(database, backup_id, values)
    assert refusal.value.sqlstate == "GC104"
    assert row(database, backup_id)["status"] == "running"


def test_one_label_belongs_to_one_backup(database: Database) -> None:
    complete_next(database)
    ask(database)
    (backup,) = claim(database)
    with pytest.raises(db.DatabaseError) as refusal:
        complete(database, backup[0], result())
    assert refusal.value.sqlstate == "GC104"


@pytest.mark.parametrize(
    ("label", "made", "kind"),
    [
        ("20260102-030405F", "full", "full"),
        ("20260102-030405F_20260102-040405D", "diff", "differential"),
        ("20260102-030405F_20260102-040405I", "incr", "incremental"),
    ],
)
def test_the_ledger_says_what_was_made(
    database: Database, label: str, made: str, kind: str
) -> None:
    """Without a full backup before it, pgBackRest makes an incremental one full."""
    backup_id = ask(database, "incremental")
    claim(database)
    complete(database, backup_id, result(label=label, type=made))
    assert row(database, backup_id)["backup_type"] == kind


@pytest.mark.parametrize("kind", ["", "weekly", "FULL", "'; DROP TABLE x"])
def test_an_unknown_type_is_refused(database: Database, kind: str) -> None:
    with pytest.raises(db.DatabaseError) as refusal, database.connect("wedsync_ops") as connection:
        connection.execute("SELECT public.backup_communication_system(%s)", (kind,))
    assert refusal.value.sqlstate == "GC101"


@pytest.mark.parametrize("lease", ["1 second", "-1 hour", "2 days"])
def test_an_impossible_lease_is_refused(database: Database, lease: str) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        claim(database, lease=lease)
    assert refusal.value.sqlstate == "GC102"


def test_what_retention_removed_expires_and_what_reappears_is_back(database: Database) -> None:
    old = complete_next(database)
    database.execute(
        "UPDATE public.communication_backups SET started_at = now() - interval '2 hours',"
        " completed_at = now() - interval '1 hour'"
    )
    fresh = complete_next(database, label="20260103-030405F")
    expire = "SELECT internal.expire_backups('{}')"
    assert database.value(expire, AGENT) == 1  # the fresh one may be newer than the list
    assert row(database, old)["status"] == "expired"
    assert row(database, fresh)["status"] == "completed"
    listed = "SELECT internal.expire_backups(ARRAY['20260102-030405F', '20260103-030405F'])"
    assert database.value(listed, AGENT) == 1
    assert row(database, old)["status"] == "completed"
    assert database.value(listed, AGENT) == 0
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute("SELECT internal.expire_backups(NULL)", AGENT)
    assert refusal.value.sqlstate == "GC104"
