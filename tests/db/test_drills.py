"""The ledger of restore drills: what may be asked for, who does it, what counts as proven."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from guestcomms import db

from tests.db.server import Database
from tests.db.test_backups import AGENT, complete_next
from tests.db.test_backups import row as backup_row

PROOF = {
    "label": "20260102-030405F",
    "findings": [{"check": "target", "passed": True, "detail": "x"}],
    "reached_lsn": "0/2000158",
    "restore_seconds": 1.5,
    "recovery_seconds": 2,
    "total_seconds": 3,
}


@pytest.fixture
def backed_up(database: Database) -> Database:
    """A database whose ledger has one backup, whole a minute ago."""
    complete_next(database)
    database.execute(
        "UPDATE communication_backups SET started_at = now() - interval '2 minutes',"
        " completed_at = now() - interval '1 minute'"
    )
    return database


def ask(database: Database, *arguments: object, login: str = "wedsync_ops") -> dict[str, Any]:
    marks = ", ".join(["%s"] * len(arguments))
    with database.connect(login) as connection:
        return db.rows(connection, f"SELECT * FROM request_restore_drill({marks})", arguments)[0]


def claim(database: Database, node: str = "drill-1") -> list[dict[str, Any]]:
    with database.connect(AGENT) as connection:
        return db.rows(connection, "SELECT * FROM internal.claim_drill(%s, '1 minute')", (node,))


def complete(database: Database, drill_id: str, result: object, attempt: int = 1) -> object:
    with database.connect(AGENT) as connection:
        return db.one_value(
            connection,
            "SELECT internal.complete_drill(%s, 'drill-1', %s, %s)",
            (drill_id, attempt, json.dumps(result)),
        )


def row(database: Database, drill_id: str) -> dict[str, Any]:
    with database.connect("wedsync_ops") as connection:
        query = "SELECT * FROM communication_restore_drills WHERE drill_id = %s"
        return db.rows(connection, query, (drill_id,))[0]


def test_asking_twice_is_asking_once(backed_up: Database) -> None:
    first = ask(backed_up)
    assert ask(backed_up, login="guestcomms_cron")["drill_id"] == first["drill_id"]
    assert (first["status"], first["target"], first["keep"]) == ("requested", "now", False)
    assert ask(backed_up, "point", None, True, True)["drill_id"] != first["drill_id"]


def test_eight_agents_claim_one_drill(backed_up: Database) -> None:
    ask(backed_up)
    ask(backed_up, "point", None, True, True)
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda number: claim(backed_up, f"drill-{number}"), range(1, 9)))
    assert sorted(len(one) for one in claims) == [0] * 7 + [1]


def test_what_is_proven_is_verified(backed_up: Database) -> None:
    drill_id = ask(backed_up)["drill_id"]
    (claimed,) = claim(backed_up)
    assert (claimed["drill_id"], claimed["attempt"]) == (drill_id, 1)
    with backed_up.connect(AGENT) as agent:
        point = db.rows(
            agent, "SELECT * FROM internal.mark_drill_point(%s, 'drill-1', 1)", (drill_id,)
        )[0]
    assert point["consistent"] is False
    told = {"what": "restore_drill", "versions": {"agent": "source"}}
    assert complete(backed_up, drill_id, PROOF | {"evidence": told}) == "proven"
    done = row(backed_up, drill_id)
    assert done["evidence"] == told | {"verdict": "proven"}
    assert backup_row(backed_up, done["backup_id"])["verified_by"] == drill_id
    consistent = "SELECT consistent FROM communication_recovery_points WHERE verified_by = "
    assert backed_up.value(f"{consistent}'{drill_id}'") is True


@pytest.mark.parametrize(
    "findings",
    [
        [*PROOF["findings"], {"check": "content", "passed": False}],  # type: ignore[misc]
        [*PROOF["findings"], {"check": "content"}],  # type: ignore[misc]
        [],
    ],
)
def test_one_finding_that_did_not_pass_refutes(backed_up: Database, findings: object) -> None:
    drill_id = ask(backed_up)["drill_id"]
    claim(backed_up)
    assert complete(backed_up, drill_id, PROOF | {"findings": findings}) == "refuted"
    verified = "SELECT count(*) FROM communication_backups WHERE verified_at IS NOT NULL"
    assert backed_up.value(verified) == 0


@pytest.mark.parametrize("lacks", ["label", "reached_lsn", "recovery_seconds"])
def test_a_proof_has_its_facts(backed_up: Database, lacks: str) -> None:
    drill_id = ask(backed_up)["drill_id"]
    claim(backed_up)
    with pytest.raises(db.DatabaseError) as refusal:
        complete(backed_up, drill_id, PROOF | {lacks: None})
    assert refusal.value.sqlstate == "GC152"


def test_a_lost_attempt_cannot_speak_for_the_next(backed_up: Database) -> None:
    drill_id = ask(backed_up)["drill_id"]
    for attempt in (1, 2, 3):
        assert [one["attempt"] for one in claim(backed_up)] == [attempt]
        backed_up.execute("UPDATE communication_restore_drills SET lease_until = now()")
        with pytest.raises(db.DatabaseError) as refusal:
            complete(backed_up, drill_id, PROOF, attempt - 1)
        assert refusal.value.sqlstate == "GC103"
    assert claim(backed_up) == []
    failed = row(backed_up, drill_id)
    assert (failed["status"], failed["verdict"]) == ("failed", None)
    assert "given up after 3 attempts" in failed["error"]


def moment(minutes: float, zone: str = "+00") -> str:
    return f"{datetime.now(UTC) + timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S}{zone}"


IMPOSSIBLE: list[tuple[str, str | None, bool, str]] = [
    ("moon", None, True, "GC141"),
    ("point", "now", True, "GC141"),
    ("name", None, True, "GC141"),
    ("point", None, False, "GC141"),
    ("time", "yesterday", True, "GC141"),
    ("time", moment(-0.5, ""), True, "GC141"),  # where is that?
    ("time", "2026-02-30 00:00:00+00", True, "GC141"),
    ("time", moment(24 * 60), True, "GC142"),
    ("time", moment(-5), True, "GC143"),
    ("name", "never written", True, "GC144"),
    ("name", "x'; DROP TABLE guests; --", True, "GC144"),
    ("lsn", "0/2000157", True, "GC143"),
    ("lsn", "FFFF/0", True, "GC142"),
    ("lsn", "12", True, "GC141"),
    ("xid", "-1", True, "GC141"),
    ("xid", "999999999999", False, "GC142"),
]


@pytest.mark.parametrize(
    ("kind", "target", "inclusive", "code"),
    IMPOSSIBLE,
    # The moments are others in each process of the run; the tests' names must not be.
    ids=[f"{number}-{case[0]}-{case[3]}" for number, case in enumerate(IMPOSSIBLE)],
)
def test_an_impossible_target_is_refused_at_once(
    backed_up: Database, kind: str, target: str | None, inclusive: bool, code: str
) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        ask(backed_up, kind, target, inclusive)
    assert refusal.value.sqlstate == code
    assert refusal.value.diag.message_hint


@pytest.mark.parametrize("kind", ["time", "xid"])
def test_a_time_that_a_restore_of_the_cluster_took_back_is_refused(
    backed_up: Database, kind: str
) -> None:
    """Recovery would end where the cluster went on, with what it held long before that time."""
    now = datetime.now(UTC)
    target, reached, abandoned = (now - timedelta(seconds=ago) for ago in (40, 45, 20))
    backed_up.execute(
        "INSERT INTO communication_cluster_restores (restore_id, target_type, target, inclusive,"
        " label, reached_lsn, reached_time, abandoned_timeline, abandoned_at)"
        f" VALUES ('restore_20260102_030405', '{kind}',"
        f" '{target if kind == 'time' else 4711}', true, '20260102-030405F', '0/3000000',"
        f" '{reached if kind == 'time' else target}', 1, '{abandoned}')"
    )

    def at(ago: float) -> str:
        return f"{now - timedelta(seconds=ago):%Y-%m-%d %H:%M:%S.%f}+00"

    for ago in (39, 21):
        for asking in (
            "request_restore_drill('time', %s)", "request_table_restore('guests', 'time', %s)"
        ):  # fmt: skip
            with (
                pytest.raises(db.DatabaseError, match="timeline 1") as refusal,
                backed_up.connect("wedsync_ops") as ops,
            ):
                db.rows(ops, f"SELECT * FROM {asking}", [at(ago)])
            assert refusal.value.sqlstate == "GC147"
            assert "restore_20260102_030405" in str(refusal.value.diag.message_hint)
    assert ask(backed_up, "time", at(42))["status"] == "requested"
    assert ask(backed_up, "time", at(19))["status"] == "requested"


def test_without_a_backup_there_is_nothing_to_restore(database: Database) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        ask(database)
    assert refusal.value.sqlstate == "GC145"


def test_an_emergency_restore_is_a_drill_whose_copy_stays(backed_up: Database) -> None:
    with backed_up.connect("wedsync_ops") as connection:
        (backup,) = db.rows(
            connection, "SELECT * FROM backup_communication_system('emergency_restore')"
        )
        (drill,) = db.rows(connection, "SELECT * FROM communication_restore_drills")
    assert backup["label"] == "20260102-030405F"
    assert (drill["keep"], drill["status"]) == (True, "requested")
    kept = "SELECT count(*) FROM internal.kept_copies('drill-1')"
    claim(backed_up)
    assert backed_up.value(kept) == 1
    release = f"SELECT release_restore('{drill['drill_id']}')"
    assert [backed_up.value(release, "wedsync_ops") for _ in range(2)] == [True, False]
    assert backed_up.value(kept) == 0
    with pytest.raises(db.DatabaseError) as refusal:
        backed_up.value("SELECT release_restore('drill_none')", "wedsync_ops")
    assert refusal.value.sqlstate == "GC146"


def test_canaries_tell_where_recovery_ended(database: Database) -> None:
    with database.connect(AGENT) as agent:
        written = [db.rows(agent, "SELECT * FROM internal.write_canary(NULL)")[0] for _ in range(4)]
        third = written[2]["begun_lsn"]
        judged = "SELECT canary_id, is_expected FROM internal.canaries_at(%s)"
        found = {one["canary_id"]: one["is_expected"] for one in db.rows(agent, judged, (third,))}
        before = "SELECT internal.canary_before_transaction(%s)"
        later = db.one_value(agent, before, (written[3]["transaction_id"],))
    ids = [one["canary_id"] for one in written]
    assert found == dict(zip(ids, (True, True, False, False), strict=True))
    assert later == third


def hashes(database: Database, table: str) -> list[tuple[Any, ...]]:
    with database.connect(AGENT) as agent:
        return agent.execute("SELECT * FROM internal.content_hashes(%s)", (table,)).fetchall()


def test_content_is_of_all_tenants_and_shows_every_change(lived_in: Database) -> None:
    with lived_in.connect(AGENT) as agent:
        tables = [one[0] for one in agent.execute("SELECT internal.content_tables()").fetchall()]
    assert {"public.guests", "public.communication_recipients", "public.suppressions"} <= {*tables}
    for table in tables:
        counted = sum(part[2] for part in hashes(lived_in, table))
        assert counted == lived_in.value(f"SELECT count(*) FROM {table}"), table
    before = hashes(lived_in, "public.guests")
    assert before
    lived_in.execute("UPDATE guests SET updated_at = updated_at + interval '1 microsecond'")
    assert [one[:3] for one in hashes(lived_in, "public.guests")] == [one[:3] for one in before]
    assert hashes(lived_in, "public.guests") != before


def test_only_tables_that_are_compared_are_read(database: Database) -> None:
    for table in ("pg_authid", "guests; DROP TABLE guests", None):
        with pytest.raises(db.DatabaseError) as refusal:
            hashes(database, table)  # type: ignore[arg-type]
        assert refusal.value.sqlstate == "GC151"
