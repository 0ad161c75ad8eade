"""The agent's bootstrap makes logins as narrow as their group, whatever was done to them."""

from __future__ import annotations

import psycopg
import pytest
from guestcomms import db

from infra.agent.bootstrap import _make_logins
from tests.db.server import Server

LOGIN = "test_login"
BY_SOMEBODY_ELSE = """
CREATE ROLE test_admin;
GRANT GROUP TO test_admin WITH ADMIN OPTION;
SET ROLE test_admin;
GRANT GROUP TO {} WITH ADMIN OPTION;
RESET ROLE
"""
PASSED_ON = """
GRANT comms_ops TO {} WITH ADMIN OPTION;
CREATE ROLE test_admin;
SET ROLE {};
GRANT comms_ops TO test_admin;
RESET ROLE
"""
FACTS = """
SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolinherit,
    rolpassword
FROM pg_authid WHERE rolname = %s
"""
GROUPS = """
SELECT roleid::regrole::text, admin_option, inherit_option, set_option
FROM pg_auth_members WHERE member = %s::regrole ORDER BY 1
"""


@pytest.fixture
def superuser(server: Server) -> psycopg.Connection:
    """In a transaction that is never committed."""
    return psycopg.connect(server.dsn("wedsync"))


def verifier(connection: psycopg.Connection[tuple[object, ...]], password: str) -> str:
    return connection.pgconn.encrypt_password(
        password.encode(), LOGIN.encode(), b"scram-sha-256"
    ).decode()


@pytest.mark.parametrize(
    "widening",
    [
        "ALTER ROLE {} SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS",
        "ALTER ROLE {} NOLOGIN NOINHERIT",
        "ALTER ROLE {} PASSWORD NULL",
        "GRANT comms_owner, comms_maintenance, comms_agent, comms_migrator TO {}",
        "GRANT comms_app TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
        BY_SOMEBODY_ELSE.replace("GROUP", "comms_owner"),
        BY_SOMEBODY_ELSE.replace("GROUP", "comms_app"),
        PASSED_ON,
    ],
)
def test_what_somebody_widened_is_narrow_again(
    superuser: psycopg.Connection[tuple[object, ...]], widening: str
) -> None:
    with superuser as connection:
        wanted = {LOGIN: {"group": "comms_app", "verifier": verifier(connection, "x")}}
        _make_logins(connection, wanted)
        before = connection.execute(FACTS, [LOGIN]).fetchall()
        assert before == [
            (True, False, False, False, False, False, True, wanted[LOGIN]["verifier"])
        ]
        groups = connection.execute(GROUPS, [LOGIN]).fetchall()
        assert groups == [("comms_app", False, True, True)]
        connection.execute(widening.replace("{}", LOGIN).encode())
        widened = connection.execute(FACTS, [LOGIN]).fetchall()
        assert (widened, connection.execute(GROUPS, [LOGIN]).fetchall()) != (before, groups)
        _make_logins(connection, wanted)
        assert connection.execute(FACTS, [LOGIN]).fetchall() == before
        assert connection.execute(GROUPS, [LOGIN]).fetchall() == groups
        connection.rollback()


def test_another_group_replaces_the_one_before(
    superuser: psycopg.Connection[tuple[object, ...]],
) -> None:
    with superuser as connection:
        for group in ("comms_app", "comms_report"):
            _make_logins(
                connection, {LOGIN: {"group": group, "verifier": verifier(connection, "x")}}
            )
        assert [row[0] for row in connection.execute(GROUPS, [LOGIN])] == ["comms_report"]
        connection.rollback()
        assert db.one_value(connection, f"SELECT to_regrole('{LOGIN}')") is None
