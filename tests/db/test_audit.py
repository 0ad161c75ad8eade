"""The security audit: written by whom it concerns, changed by nobody; and the log of reads."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from guestcomms import db

from infra.agent.bootstrap import _make_logins
from tests.db import script
from tests.db.server import Database, Server

A = "018f0000-0000-7000-8000-000000000001"
B = "018f0000-0000-7000-8000-000000000002"
MANUAL = script.manual(18)
FAILED_AUTHENTICATION = script.manual(19)


@pytest.fixture
def audited(database: Database) -> Database:
    """Two organizations; where A lives it is noon, whenever this runs: nights raise the risk."""
    east = 12 - datetime.now(UTC).hour
    noon = f"Etc/GMT{-east:+d}"  # these count hours to the west
    database.execute(f"SELECT create_organization('{A}', 'A', '{noon}', '{{wedsync_app}}')")
    database.execute(f"SELECT create_organization('{B}', 'B')")
    return database


def log(
    database: Database,
    event: str = "authentication",
    user: str | None = "ann",
    address: str | None = "192.0.2.1",
    success: bool = True,
    **more: str | None,
) -> dict[str, Any]:
    """As the application; `more`: organization, risk_level, details, login."""
    values = {"organization": A, "risk_level": None, "details": "{}", "login": None} | more
    with database.connect(values["login"] or "wedsync_app") as connection:
        return db.rows(
            connection,
            "SELECT * FROM log_security_event(%s, %s, %s, %s, %s, %s::jsonb, %s)",
            (
                values["organization"], event, user, address, success, values["details"],
                values["risk_level"],
            ),
        )[0]  # fmt: skip


def sqlstate(database: Database, statement: str, login: str) -> str | None:
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute(statement, login)
    return refusal.value.sqlstate


def test_the_manual_reads_the_most_dangerous_first(audited: Database) -> None:
    for level in ("low", "critical", "medium", "high"):
        log(audited, f"probe_{level}", None, None, risk_level=level)
    for login in ("wedsync_ops", "wedsync_auditor"):
        with audited.connect(login) as connection:
            levels = [row["risk_level"] for row in db.rows(connection, MANUAL.encode())]
        assert sorted(levels, key=["critical", "high", "medium", "low"].index) == levels
        assert len(levels) >= 3


def test_the_manual_finds_who_guesses(audited: Database) -> None:
    for number in range(11):
        log(audited, user=f"user {number}", success=False)
    with audited.connect("wedsync_ops") as connection:
        found = db.rows(connection, FAILED_AUTHENTICATION.encode())
    assert [(str(row["ip_address"]), row["failed_attempts"]) for row in found] == [
        ("192.0.2.1", 11)
    ]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE communication_security_audit SET success = true",
        "DELETE FROM communication_security_audit",
        "TRUNCATE communication_security_audit",
        "UPDATE {partition} SET success = true",
        "DELETE FROM {partition}",
        "TRUNCATE {partition}",
    ],
)
@pytest.mark.parametrize("login", ["comms_owner", "postgres"])
def test_nobody_changes_it(audited: Database, login: str, change: str) -> None:
    """Its owner sees no row through row security: what he could do is done with it off."""
    log(audited)
    partition = audited.value(
        "SELECT max(tableoid::regclass::text) FROM communication_security_audit"
    )
    audited.execute("ALTER TABLE communication_security_audit NO FORCE ROW LEVEL SECURITY")
    code = sqlstate(audited, f"SET ROLE {login}; {change.format(partition=partition)}", "postgres")
    assert code == "GC450"
    assert audited.value("SELECT count(*) FROM communication_security_audit") == 2


def test_partitions_made_later_are_guarded_too(audited: Database) -> None:
    audited.execute("UPDATE partman.part_config SET premake = 5", "guestcomms_cron")
    audited.execute("SELECT internal.maintain_partitions()", "guestcomms_cron")
    unguarded = """
        SELECT count(*) FROM pg_partition_tree('communication_security_audit') AS tree
        WHERE NOT EXISTS (
            SELECT FROM pg_trigger WHERE tgrelid = tree.relid AND tgname = 'refuse_truncate')
    """
    assert audited.value(unguarded) == 0


@pytest.mark.parametrize("login", ["wedsync_app", "wedsync_worker", "wedsync_report"])
def test_tenants_and_programs_do_not_read_it(audited: Database, login: str) -> None:
    assert sqlstate(audited, "SELECT FROM communication_security_audit", login) == "42501"


def test_an_application_writes_for_its_own_organization_or_the_platform(audited: Database) -> None:
    assert log(audited)["login"] == "wedsync_app"
    assert str(log(audited, organization=None)["organization_id"]).strip("0-") == ""
    with pytest.raises(db.DatabaseError) as refusal:
        log(audited, organization=B)
    assert refusal.value.sqlstate == "GC001"


@pytest.mark.parametrize(
    "values",
    [{"event": "Not lower"}, {"user": ""}, {"risk_level": "extreme"}, {"details": "[]"}],
    ids=str,
)
def test_what_is_no_event_is_refused(audited: Database, values: dict[str, Any]) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        log(audited, **values)
    assert refusal.value.sqlstate in ("GC451", "22023")


def test_who_may_act_for_whom_is_written_down(audited: Database) -> None:
    for _ in range(2):
        audited.execute(f"SELECT unbind_login('{A}', 'wedsync_app')", "wedsync_ops")
    audited.execute("SELECT set_login_unrestricted('wedsync_worker', true, 'x')", "wedsync_ops")
    with audited.connect("wedsync_auditor") as connection:
        written = db.rows(
            connection,
            "SELECT user_id, details - 'risk' AS what FROM communication_security_audit"
            " WHERE event_type = 'login_binding' ORDER BY created_at",
        )
    assert [(row["user_id"], row["what"]) for row in written] == [
        ("postgres", {"bound": "wedsync_app"}),
        ("wedsync_ops", {"unbound": "wedsync_app"}),
        ("wedsync_ops", {"login": "wedsync_worker", "unrestricted": True, "reason": "x"}),
    ]


def test_guessing_raises_the_risk_and_a_hit_is_critical(audited: Database) -> None:
    levels = [log(audited, success=False)["risk_level"] for _ in range(10)]
    assert levels[0] == "low"
    assert levels[3] == "medium"
    assert levels[-1] in ("high", "critical")
    hit = log(audited, success=True)
    assert hit["risk_level"] == "critical"
    assert "success after failures" in hit["details"]["risk"]["reasons"]
    assert log(audited, user="eve", address="198.51.100.9")["risk_level"] == "low"


def test_one_password_tried_on_many_users_shows_across_organizations(audited: Database) -> None:
    for number in range(6):
        log(audited, user=f"user {number}", organization=None, success=False)
    answer = log(audited, user="another", success=False)
    reasons = "SELECT details #>> '{risk,reasons}' FROM communication_security_audit"
    written = str(audited.value(f"{reasons} WHERE user_id = 'another'", "wedsync_auditor"))
    assert "failures of several users from this address" in written
    # To the organization the answer tells nothing of others: not even in a level or a score.
    assert answer["risk_level"] == "low"
    assert answer["details"]["risk"] == {"score": 10, "reasons": ["it failed"]}


def test_an_answer_is_the_same_whatever_happened_elsewhere(audited: Database) -> None:
    audited.execute("SELECT set_login_unrestricted('wedsync_worker', true, 'x')", "wedsync_ops")
    quiet = log(audited, success=False, address="192.0.2.7")
    for organization in (B, None):
        for number in range(20):
            log(
                audited, user=f"user {number}", address="192.0.2.8", success=False,
                organization=organization, login="wedsync_worker",
            )  # fmt: skip
    noisy = log(audited, user="bob", success=False, address="192.0.2.8")
    assert noisy["risk_level"] == quiet["risk_level"]
    assert noisy["details"] == quiet["details"]
    platform = log(audited, user="user 1", address="192.0.2.8", success=False, organization=None)
    assert platform["details"]["risk"]["reasons"] == ["it failed"]


def test_a_new_address_of_a_known_user_is_noticed(audited: Database) -> None:
    log(audited)
    assert "a new address" not in log(audited)["details"]["risk"]["reasons"]
    assert "a new address" in log(audited, address="203.0.113.5")["details"]["risk"]["reasons"]


def test_a_caller_makes_it_worse_never_better(audited: Database) -> None:
    assert log(audited, risk_level="critical")["risk_level"] == "critical"
    for _ in range(5):
        log(audited, success=False)
    assert log(audited, success=False, risk_level="low")["risk_level"] != "low"


def test_the_summary_counts(audited: Database) -> None:
    for _ in range(3):
        log(audited, "probe", None, None)
    with audited.connect("wedsync_auditor") as connection:
        summary = db.rows(connection, "SELECT * FROM security_summary() WHERE event_type = 'probe'")
    assert sum(row["events"] for row in summary) == 3
    for interval in ("NULL", "'0'", "'-1 day'"):
        code = sqlstate(audited, f"SELECT security_summary({interval})", "wedsync_ops")
        assert code == "GC452"


def test_what_operations_reads_is_in_the_server_log(database: Database, server: Server) -> None:
    with psycopg.connect(server.dsn("wedsync")) as connection:
        verifier = connection.pgconn.encrypt_password(b"x", b"reader", b"scram-sha-256").decode()
        for login, group in (("test_reader", "comms_ops"), ("test_program", "comms_app")):
            _make_logins(connection, {login: {"group": group, "verifier": verifier}})
    try:
        for login in ("test_reader", "test_program"):
            server.execute(f"GRANT CONNECT ON DATABASE {database.name} TO {login}")
            database.execute(f"TABLE guests -- {login}", login)
        with pytest.raises(db.sqlstates.InsufficientPrivilege):
            database.execute("SET pgaudit.log = 'none'", "test_reader")
        printed = subprocess.run(
            ["docker", "logs", server.container], capture_output=True, text=True, check=True
        ).stderr
        lines = [line for line in printed.splitlines() if "AUDIT: SESSION" in line]
        seen = [line for line in lines if "READ,SELECT" in line and "public.guests" in line]
        assert any("test_reader" in line for line in seen)
        assert not any("test_program" in line for line in lines)
    finally:
        for login in ("test_reader", "test_program"):
            server.execute(f"REVOKE CONNECT ON DATABASE {database.name} FROM {login}")
            server.execute(f"DROP ROLE {login}")
