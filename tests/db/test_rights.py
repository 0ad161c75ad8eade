"""Who may do what: every group on every relation and every function, as one table of facts."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from guestcomms import db

from tests.db.server import LOGINS, Database

LOGIN_NAMES = [*(f"wedsync_{role}" for role in LOGINS), "guestcomms_agent", "guestcomms_cron"]
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")

ALIKE = {
    "readiness_": {"wedsync_ops", "wedsync_monitor"},
    "health_": {"wedsync_ops", "wedsync_monitor", "guestcomms_cron"},
    "measure_": {"guestcomms_cron"},
    "integrity_": {"guestcomms_cron"},
    "repair_": {"guestcomms_cron"},
}
"""Who may call a check, a measurement or a repair; they are alike and not listed one by one."""

Rights = dict[str, dict[str, set[str]]]


def listed() -> tuple[Rights, dict[str, set[str]]]:
    """Relations and functions, from tests/db/rights: everything that is not there is refused.

    A function is named without its schema, once for all its overloads. That guestcomms_cron may do
    something is by comms_maintenance, which owns some of them.
    """
    relations: Rights = {}
    functions: dict[str, set[str]] = {}
    for file in sorted(Path(__file__).with_name("rights").glob("*.toml")):
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        twice = (relations.keys() & content.get("relations", {}).keys()) | (
            functions.keys() & content.get("functions", {}).keys()
        )
        assert not twice, f"{file.name} lists again what an earlier file lists: {sorted(twice)}"
        for name, logins in content.get("relations", {}).items():
            relations[name] = {login: set(verbs) for login, verbs in logins.items()}
        for name, logins in content.get("functions", {}).items():
            functions[name] = set(logins)
    return relations, functions


def test_every_relation_and_verb(database: Database) -> None:
    with database.connect() as connection:
        rows = db.rows(
            connection,
            """
            SELECT relation.oid::regclass::text AS relation, login, verb,
                CASE WHEN verb IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
                    THEN has_any_column_privilege(login, relation.oid, verb)
                    ELSE has_table_privilege(login, relation.oid, verb)
                END AS allowed
            FROM pg_class AS relation
            JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
            CROSS JOIN unnest(%s::text[]) AS login
            CROSS JOIN unnest(%s::text[]) AS verb
            WHERE relation.relkind IN ('r', 'p', 'v', 'm')
                AND NOT relation.relispartition AND namespace.nspname IN ('public', 'internal')
            """,
            (LOGIN_NAMES, list(VERBS)),
        )
    allowed: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        name = row["relation"] if "." in row["relation"] else f"public.{row['relation']}"
        per_login = allowed.setdefault(name, {})
        if row["allowed"]:
            per_login.setdefault(row["login"], set()).add(row["verb"])
    assert allowed == listed()[0]


def test_partitions_have_no_grants(database: Database) -> None:
    """Whoever reads a partition itself escapes the policies, which are the parent's."""
    with database.connect() as connection:
        granted = db.rows(
            connection,
            """
            SELECT DISTINCT relation.oid::regclass::text AS name, acl.grantee::regrole::text
            FROM pg_class AS relation CROSS JOIN aclexplode(relation.relacl) AS acl
            WHERE relation.relispartition AND acl.grantee <> relation.relowner
            """,
        )
    assert granted == []


def test_every_function(database: Database) -> None:
    with database.connect() as connection:
        rows = db.rows(
            connection,
            """
            SELECT routine.proname AS name,
                coalesce(array_agg(login) FILTER (
                    WHERE has_function_privilege(login, routine.oid, 'EXECUTE')
                ), '{}') AS logins
            FROM pg_proc AS routine
            JOIN pg_namespace AS namespace ON namespace.oid = routine.pronamespace
            CROSS JOIN unnest(%s::text[]) AS login
            WHERE namespace.nspname IN ('public', 'internal')
            GROUP BY routine.oid
            """,
            (LOGIN_NAMES,),
        )
    functions = listed()[1]
    wrong = {
        row["name"]: row["logins"]
        for row in rows
        if set(row["logins"]) != functions.get(row["name"], alike(row["name"]))
    }
    assert wrong == {}
    assert set(functions) <= {row["name"] for row in rows}


def alike(function: str) -> set[str]:
    return next((who for prefix, who in ALIKE.items() if function.startswith(prefix)), set())


@pytest.mark.parametrize(
    ("login", "statement"),
    [
        ("wedsync_app", "SELECT * FROM public.communication_backups"),
        ("wedsync_app", "INSERT INTO public.organizations (name) VALUES ('x')"),
        ("wedsync_app", "SELECT internal.claim_backup('pg-1', '1 minute')"),
        ("wedsync_app", "SELECT * FROM pgbouncer.get_auth('wedsync_ops')"),
        ("wedsync_app", "SELECT * FROM cron.job"),
        ("wedsync_app", "SELECT internal.unwrap_key('x', 'y')"),
        ("wedsync_app", "CREATE TABLE public.mine ()"),
        ("wedsync_app", "CREATE TEMPORARY TABLE mine ()"),
        ("wedsync_app", "SET ROLE comms_owner"),
        ("wedsync_ops", "UPDATE public.communication_backups SET status = 'completed'"),
        ("wedsync_ops", "UPDATE public.communication_recovery_points SET consistent = true"),
        ("wedsync_ops", "UPDATE public.communication_pool_config SET applied_at = now()"),
        ("wedsync_ops", "SELECT internal.wrap_key('x', 'y')"),
        ("wedsync_ops", "SELECT cron.schedule('x', '* * * * *', 'SELECT 1')"),
        ("wedsync_monitor", "SELECT last_error FROM public.communication_dead_letters"),
        ("wedsync_monitor", "SELECT last_error FROM public.communication_batch_queue"),
        ("wedsync_monitor", "SELECT lease_token FROM public.communication_batch_queue"),
        ("wedsync_app", "SELECT public.assess_risk(NULL, 'x', NULL, '192.0.2.1', true)"),
        ("wedsync_report", "SELECT * FROM public.organizations"),
        ("wedsync_auditor", "SELECT public.backup_communication_system('full')"),
        ("guestcomms_agent", "SELECT * FROM public.communication_backups"),
        ("guestcomms_agent", "SELECT public.backup_communication_system('full')"),
        ("guestcomms_agent", "COPY (SELECT 1) TO PROGRAM 'true'"),
        ("wedsync_migrator", "SELECT * FROM internal.applied_sql"),
        ("wedsync_migrator", "CREATE EXTENSION dblink SCHEMA public"),
        ("pgbouncer", "SELECT * FROM public.organizations"),
    ],
)  # fmt: skip
def test_what_is_forbidden_is_refused(database: Database, login: str, statement: str) -> None:
    with pytest.raises(db.sqlstates.InsufficientPrivilege):
        database.execute(statement, login)


def test_nobody_is_more_than_he_should_be(database: Database) -> None:
    with database.connect() as connection:
        powerful = db.rows(
            connection,
            """
            SELECT rolname FROM pg_roles
            WHERE (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)
                AND rolname <> 'postgres'
            """,
        )
        dangerous = db.rows(
            connection,
            """
            SELECT granted.rolname AS granted, member.rolname AS member
            FROM pg_auth_members
            JOIN pg_roles AS granted ON granted.oid = roleid
            JOIN pg_roles AS member ON member.oid = pg_auth_members.member
            WHERE granted.rolname LIKE 'pg\\_%' AND member.rolname NOT LIKE 'pg\\_%'
            ORDER BY 1, 2
            """,
        )
    assert powerful == []
    assert [(row["granted"], row["member"]) for row in dangerous] == [
        ("pg_monitor", "comms_monitor"),
        ("pg_monitor", "comms_ops"),
        ("pg_read_all_stats", "comms_maintenance"),
        ("pg_read_all_stats", "comms_migrator"),
    ]


def test_public_may_not_even_connect(database: Database) -> None:
    database.server.execute("CREATE ROLE test_stranger LOGIN")
    try:
        with pytest.raises(Exception, match="permission denied for database"):
            database.connect("test_stranger").close()
    finally:
        database.server.execute("DROP ROLE test_stranger")
