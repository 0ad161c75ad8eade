"""Who may do what: every group on every relation and every function, as one table of facts."""

from __future__ import annotations

import pytest
from guestcomms import db

from tests.db.server import LOGINS, Database

LOGIN_NAMES = [*(f"wedsync_{role}" for role in LOGINS), "guestcomms_agent", "guestcomms_cron"]
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")

# Everything that is not listed is refused.
RELATIONS: dict[str, dict[str, set[str]]] = {
    "public.organizations": {
        "wedsync_app": {"SELECT"}, "wedsync_worker": {"SELECT"}, "wedsync_ops": {"SELECT"},
        "guestcomms_cron": {"SELECT", "INSERT", "UPDATE"},
    },
    "internal.organization_logins": {
        "wedsync_ops": {"SELECT"}, "wedsync_monitor": {"SELECT"},
        "guestcomms_cron": {"SELECT", "INSERT", "DELETE"},
    },
    "internal.unrestricted_logins": {"wedsync_ops": {"SELECT"}, "wedsync_monitor": {"SELECT"}},
    "public.communication_backups": {
        "wedsync_ops": {"SELECT"}, "wedsync_monitor": {"SELECT"}, "wedsync_auditor": {"SELECT"},
    },
    "public.communication_recovery_points": {
        "wedsync_ops": {"SELECT", "INSERT"}, "wedsync_monitor": {"SELECT"},
        "wedsync_auditor": {"SELECT"},
    },
    "public.communication_pool_config": {
        "wedsync_ops": {"SELECT", "INSERT", "UPDATE"}, "wedsync_monitor": {"SELECT"},
    },
    "internal.pool_reports": {"wedsync_ops": {"SELECT"}, "wedsync_monitor": {"SELECT"}},
    "internal.applied_sql": {"wedsync_ops": {"SELECT"}, "wedsync_monitor": {"SELECT"}},
    "internal._yoyo_log": {},
    "internal._yoyo_migration": {},
    "internal._yoyo_version": {},
}  # fmt: skip

# Who may call what; guestcomms_cron is in comms_maintenance, which owns some of them. Readiness
# checks are alike and follow below.
FUNCTIONS: dict[str, set[str]] = {
    "enter_tenant": {"wedsync_app", "wedsync_worker"},
    "current_organization": {"wedsync_app", "wedsync_worker", "guestcomms_cron"},
    "create_organization": {"wedsync_ops", "guestcomms_cron"},
    "bind_login": {"wedsync_ops", "guestcomms_cron"},
    "unbind_login": {"wedsync_ops", "guestcomms_cron"},
    "set_login_unrestricted": {"wedsync_ops"},
    "backup_communication_system": {"wedsync_ops", "guestcomms_cron"},
    "verify_production_readiness": {"wedsync_ops", "wedsync_monitor"},
    "require_leader": {"wedsync_ops", "wedsync_monitor"},
    "require_statistics": {"wedsync_ops", "wedsync_monitor"},
    "require_login": {"guestcomms_cron"},
    "uuid_v7": {"guestcomms_cron"},
    **{
        name: {"guestcomms_agent"}
        for name in (
            "claim_backup", "extend_backup_lease", "complete_backup", "fail_backup",
            "expire_backups", "desired_pools", "report_pool_applied",
        )
    },
}  # fmt: skip


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
                AND namespace.nspname IN ('public', 'internal')
            """,
            (LOGIN_NAMES, list(VERBS)),
        )
    allowed: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        name = row["relation"] if "." in row["relation"] else f"public.{row['relation']}"
        per_login = allowed.setdefault(name, {})
        if row["allowed"]:
            per_login.setdefault(row["login"], set()).add(row["verb"])
    assert allowed == RELATIONS


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
    readiness = {"wedsync_ops", "wedsync_monitor"}
    expected = {
        row["name"]: readiness
        if row["name"].startswith("readiness_")
        else FUNCTIONS.get(row["name"], set())
        for row in rows
    }
    assert {row["name"]: set(row["logins"]) for row in rows} == expected
    assert set(FUNCTIONS) <= {row["name"] for row in rows}


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
        ("pg_read_all_stats", "comms_migrator"),
    ]


def test_public_may_not_even_connect(database: Database) -> None:
    database.server.execute("CREATE ROLE test_stranger LOGIN")
    try:
        with pytest.raises(Exception, match="permission denied for database"):
            database.connect("test_stranger").close()
    finally:
        database.server.execute("DROP ROLE test_stranger")
