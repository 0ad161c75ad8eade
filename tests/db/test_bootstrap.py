"""The superuser bootstrap: repeatable, narrow, and repaired by itself."""

from __future__ import annotations

import base64

from guestcomms import db

from tests.db.server import Server, bootstrap


def everything(server: Server) -> str:
    return server.run("pg_dumpall", "--globals-only", "--restrict-key=t") + server.run(
        "pg_dump", "--restrict-key=t", "wedsync"
    )


def test_a_second_run_changes_nothing(server: Server) -> None:
    before = everything(server)
    bootstrap(server, "wedsync")
    assert everything(server) == before


def test_a_run_takes_back_what_somebody_widened(server: Server) -> None:
    before = everything(server)
    server.execute("ALTER ROLE comms_app LOGIN BYPASSRLS")
    server.execute("GRANT EXECUTE ON FUNCTION pgbouncer.get_auth(text) TO PUBLIC", "wedsync")
    assert everything(server) != before
    bootstrap(server, "wedsync")
    assert everything(server) == before


def test_schedules_belong_to_the_role_without_a_way_in(server: Server) -> None:
    with db.connect(server.dsn("wedsync"), application_name="tests") as connection:
        jobs = db.rows(connection, "SELECT jobname, schedule, username FROM cron.job ORDER BY 1")
    assert jobs == [
        {"jobname": "backup-full", "schedule": "0 1 * * *", "username": "guestcomms_cron"},
        {"jobname": "backup-incremental", "schedule": "0 */4 * * *", "username": "guestcomms_cron"},
        {"jobname": "backup-verification", "schedule": "30 2 * * 0", "username": "guestcomms_cron"},
        {"jobname": "backup-wal-audit", "schedule": "17 * * * *", "username": "guestcomms_cron"},
        {"jobname": "restore-drill", "schedule": "30 2 * * *", "username": "guestcomms_cron"},
    ]


def test_the_pooler_finds_verifiers_of_living_logins_only(server: Server) -> None:
    salt, key = base64.b64encode(bytes(16)).decode(), base64.b64encode(bytes(32)).decode()
    secret = f"SCRAM-SHA-256$4096:{salt}${key}:{key}"
    wrong = {
        "expired": "LOGIN PASSWORD '{}' VALID UNTIL '2020-01-01' IN ROLE comms_app",
        "super": "LOGIN SUPERUSER PASSWORD '{}' IN ROLE comms_app",
        "replica": "LOGIN REPLICATION PASSWORD '{}' IN ROLE comms_app",
        "open": "LOGIN IN ROLE comms_app",
        "locked": "NOLOGIN PASSWORD '{}' IN ROLE comms_app",
        "stranger": "LOGIN PASSWORD '{}'",
        "reader": "LOGIN PASSWORD '{}' IN ROLE pg_monitor",
    }
    right = {"living": "LOGIN PASSWORD '{}' IN ROLE comms_app"}
    names = [f"test_{name}" for name in [*right, *wrong]]
    for name, how in (right | wrong).items():
        server.execute(f"CREATE ROLE test_{name} {how.format(secret)}")
    server.execute(f"ALTER ROLE pgbouncer PASSWORD '{secret}'; GRANT comms_app TO pgbouncer")
    with db.connect(
        server.dsn("wedsync", "pgbouncer"), application_name="tests", autocommit=True
    ) as connection:
        found = connection.execute(
            "SELECT name, (pgbouncer.get_auth(name)).passwd FROM unnest(%s::text[]) AS name",
            ([*names, "pgbouncer", "nobody"],),
        ).fetchall()
    server.execute(f"DROP ROLE {', '.join(names)}")
    server.execute("ALTER ROLE pgbouncer PASSWORD NULL; REVOKE comms_app FROM pgbouncer")
    assert dict(found) == {"test_living": secret}
