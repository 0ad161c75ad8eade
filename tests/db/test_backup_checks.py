"""The ledger of checks: asked for once, made once, judged by evidence; and what readiness says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from guestcomms import backup_checks, backups, db, errors
from guestcomms.cli.backup import _print_check

from tests.db.server import Database
from tests.db.test_backups import AGENT, complete_next, result
from tests.db.test_readiness import judge

SOUND = {"verdict": "sound", "findings": [], "figures": {"latest_restorable": 1}}
HOLE = {"verdict": "damaged", "findings": [{"kind": "gap", "what": "WAL is missing"}]}
PAST = HOLE | {"figures": {"latest_restorable": 1}}
PRESENT = HOLE | {"figures": {"latest_restorable": 0}}


def ask(database: Database, kind: str = "wal_audit", login: str = "wedsync_ops") -> str:
    query = f"SELECT (public.request_backup_check('{kind}')).check_id"
    return str(database.value(query, login))


def claim(database: Database, kind: str = "wal_audit", node: str = "pg-1") -> list[tuple[Any, ...]]:
    with database.connect(AGENT) as connection:
        return connection.execute(
            "SELECT * FROM internal.claim_backup_check(%s, %s, '1 minute')", (kind, node)
        ).fetchall()


def complete(database: Database, check_id: str, evidence: object, attempt: int = 1) -> None:
    with database.connect(AGENT) as connection:
        connection.execute(
            "SELECT internal.complete_backup_check(%s, 'pg-1', %s, %s)",
            (check_id, attempt, json.dumps(evidence)),
        )


def fail(database: Database, check_id: str, attempt: int, pause: str = "1 minute") -> object:
    query = f"SELECT internal.fail_backup_check('{check_id}', 'pg-1', {attempt}, 'away', '{pause}')"
    return database.value(query, AGENT)


def end_leases(database: Database) -> None:
    database.execute("UPDATE public.communication_backup_checks SET lease_until = now()")


def check_of(database: Database, check_id: str) -> dict[str, Any]:
    with database.connect() as connection:
        query = "SELECT * FROM public.communication_backup_checks WHERE check_id = %s"
        return db.rows(connection, query, [check_id])[0]


def judged(database: Database, kind: str, evidence: object) -> None:
    ask(database, kind)
    ((check_id, attempt),) = claim(database, kind)
    complete(database, check_id, evidence, attempt)


def test_asking_twice_is_asking_once_for_each_kind(database: Database) -> None:
    assert ask(database) == ask(database) != ask(database, "verification")
    with pytest.raises(db.DatabaseError) as refusal:
        ask(database, "prayer")
    assert refusal.value.sqlstate == "GC101"


def test_each_kind_runs_once_at_a_time(database: Database) -> None:
    audit, verification = ask(database), ask(database, "verification")
    assert claim(database) == [(audit, 1)]
    ask(database)
    assert claim(database, node="pg-2") == []
    assert claim(database, "verification", "pg-2") == [(verification, 1)]


def test_a_lost_agent_is_replaced_and_cannot_speak_any_more(database: Database) -> None:
    check_id = ask(database)
    claim(database)
    extend = f"SELECT internal.extend_backup_check_lease('{check_id}', 'pg-1', 1, '1 minute')"
    assert database.value(extend, AGENT) is True
    end_leases(database)
    assert claim(database) == [(check_id, 2)]
    assert database.value(extend, AGENT) is False
    with pytest.raises(db.DatabaseError) as refusal:
        complete(database, check_id, SOUND)
    assert refusal.value.sqlstate == "GC103"
    with pytest.raises(db.DatabaseError) as refusal:
        fail(database, check_id, 1)
    assert refusal.value.sqlstate == "GC103"
    complete(database, check_id, SOUND, attempt=2)
    complete(database, check_id, SOUND, attempt=2)  # the answer to the first got lost
    done = check_of(database, check_id)
    assert (done["status"], done["verdict"], done["evidence"]) == ("completed", "sound", SOUND)


def test_a_check_without_an_answer_is_tried_three_times_and_says_why(database: Database) -> None:
    check_id = ask(database)
    for attempt, then in ((1, "running"), (2, "running"), (3, "failed")):
        assert claim(database) == [(check_id, attempt)]
        assert fail(database, check_id, attempt) == then
        assert claim(database) == []
        end_leases(database)
    assert check_of(database, check_id)["error"] == "away"
    lost = ask(database)
    for _ in range(3):
        claim(database)
        end_leases(database)
    assert claim(database) == []
    assert "its lease ended" in check_of(database, lost)["error"]


@pytest.mark.parametrize(
    "evidence",
    [
        None,
        {},
        SOUND | {"verdict": "fine"},
        SOUND | {"findings": [{"what": "a hole"}]},
        HOLE | {"figures": {}, "findings": []},
        HOLE,
        SOUND | {"figures": {"gaps": "none"}},
    ],
)
def test_evidence_that_contradicts_itself_is_refused(database: Database, evidence: object) -> None:
    check_id = ask(database)
    claim(database)
    with pytest.raises(db.DatabaseError) as refusal:
        complete(database, check_id, evidence)
    assert refusal.value.sqlstate == "GC104"


def test_leases_and_pauses_have_bounds(database: Database) -> None:
    check_id = ask(database)
    claim(database)
    for call in (
        "claim_backup_check('wal_audit', 'pg-1', '1 second')",
        f"extend_backup_check_lease('{check_id}', 'pg-1', 1, '2 days')",
        f"fail_backup_check('{check_id}', 'pg-1', 1, 'x', NULL)",
    ):
        with pytest.raises(db.DatabaseError) as refusal:
            database.value(f"SELECT internal.{call}", AGENT)
        assert refusal.value.sqlstate == "GC102"


def test_old_sound_audits_go(database: Database) -> None:
    judged(database, "wal_audit", SOUND)
    judged(database, "wal_audit", PAST)
    database.execute(
        "UPDATE public.communication_backup_checks SET ended_at = now() - interval '91 days'"
    )
    judged(database, "wal_audit", SOUND)
    query = "SELECT array_agg(verdict ORDER BY ended_at) FROM public.communication_backup_checks"
    assert database.value(query) == ["damaged", "sound"]


def test_a_backup_is_followed_by_an_audit_and_the_first_by_a_verification(
    database: Database,
) -> None:
    complete_next(database)
    assert claim(database) != []
    ((check_id, _),) = claim(database, "verification")
    complete(database, check_id, SOUND)
    complete_next(database, label="20260102-040000F")
    query = "SELECT array_agg(kind) FROM public.communication_backup_checks WHERE status = '{}'"
    assert database.value(query.format("requested")) == ["wal_audit"]


def test_readiness_follows_the_last_audit(database: Database) -> None:
    seen = []
    for evidence in (None, SOUND, PAST, PRESENT):
        if evidence:
            judged(database, "wal_audit", evidence)
        seen.append(judge(database)["wal_audited"]["status"])
    assert seen == ["unknown", "pass", "warn", "fail"]
    assert "WAL is missing" in judge(database)["wal_audited"]["value"]
    database.execute(
        "UPDATE public.communication_backup_checks SET ended_at = now() - interval '4 hours'"
    )
    assert judge(database)["wal_audited"]["status"] == "unknown"


def test_readiness_follows_the_last_verification(database: Database) -> None:
    seen = []
    for evidence in (None, SOUND, PAST):
        if evidence:
            judged(database, "verification", evidence)
        seen.append(judge(database)["backups_verified"]["status"])
    assert seen == ["unknown", "pass", "fail"]
    judged(database, "verification", SOUND)
    database.execute(
        "UPDATE public.communication_backup_checks SET ended_at = now() - interval '9 days'"
    )
    assert judge(database)["backups_verified"]["status"] == "unknown"


def adopt(database: Database, *stored: dict[str, object]) -> object:
    with database.connect(AGENT) as connection:
        return db.one_value(connection, "SELECT internal.adopt_backups(%s)", [json.dumps(stored)])


def test_the_ledger_learns_what_the_repository_holds(database: Database) -> None:
    known = complete_next(database)
    stored = (
        result(backup_id=known),
        result(backup_id="backup_20260102_050000_000001", label="20260102-050000F"),
        result(backup_id=None, label="20260102-050000F_20260102-060000I", type="incr"),
    )
    assert adopt(database, *stored) == 2
    assert adopt(database, *stored) == 0
    with database.connect("wedsync_ops") as connection:
        rows = db.rows(
            connection,
            "SELECT backup_id, backup_type, status, label, requested_by, row_count"
            " FROM public.communication_backups WHERE requested_by = 'repository' ORDER BY label",
        )
    assert [(row["backup_type"], row["status"], row["row_count"]) for row in rows] == [
        ("full", "completed", None), ("incremental", "completed", None),
    ]  # fmt: skip
    assert rows[0]["backup_id"] == "backup_20260102_050000_000001"


def test_a_backup_that_is_stored_has_not_failed_and_one_that_runs_is_its_agents(
    database: Database,
) -> None:
    running = str(database.value("SELECT (public.backup_communication_system('full')).backup_id"))
    mine = result(backup_id=running, label="20260102-050000F")
    assert adopt(database, mine) == 0
    database.execute(
        "UPDATE public.communication_backups"
        " SET status = 'failed', error = 'lost', failed_at = now()"
    )
    assert adopt(database, mine) == 1
    row = database.value("SELECT status || ' ' || label FROM public.communication_backups")
    assert row == "completed 20260102-050000F"


@pytest.mark.parametrize("stored", [None, {}, [{"label": "x"}], [result(label="nonsense")]])
def test_nonsense_is_not_adopted(database: Database, stored: object) -> None:
    with database.connect(AGENT) as connection, pytest.raises(db.DatabaseError) as refusal:
        connection.execute("SELECT internal.adopt_backups(%s)", [json.dumps(stored)])
    assert refusal.value.sqlstate == "GC104"


def test_the_command_line_reads_what_the_ledger_holds(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    with database.connect("wedsync_ops") as connection:
        asked = backup_checks.request(connection, "wal_audit")
        with pytest.raises(errors.GuestcommsError, match="still requested"):
            wait(connection, asked)
        claim(database)
        complete(database, asked.check_id, PRESENT | {"what": "wal_audit"})
        done = wait(connection, asked)
        assert (done.verdict, backup_checks.newest(connection)) == ("damaged", [done])
        assert backup_checks.last_completed(connection, "wal_audit") == done
        assert backup_checks.last_completed(connection, "verification") is None
        _print_check(done)
        assert "✗ WAL is missing" in capsys.readouterr().out
        lost = backup_checks.request(connection, "verification")
        for attempt in (1, 2, 3):
            claim(database, "verification")
            fail(database, lost.check_id, attempt)
            end_leases(database)
        with pytest.raises(errors.GuestcommsError, match="failed: away"):
            wait(connection, lost)


def wait(connection: db.Connection, check: backup_checks.Check) -> backup_checks.Check:
    return backup_checks.wait(
        connection, check, stack="local", timeout_seconds=0.1, report=lambda _seen: None
    )


def test_one_backup_is_shown_by_id_or_label(database: Database) -> None:
    backup_id = complete_next(database)
    with database.connect("wedsync_ops") as connection:
        for name in (backup_id, "20260102-030405F"):
            facts = backups.facts(connection, name)
            assert facts is not None
            assert facts["backup_id"] == backup_id
        assert backups.facts(connection, "nonsense") is None
