"""`bootstrap`: everything in the database that needs a superuser, made by the primary for itself.

Runs beside PostgreSQL on every database machine and waits until its machine leads. What it applies
is /etc/guestcomms/bootstrap.sql and the login roles; a change of either is applied again by the
machine that leads then. It also sees to it that the backup repository holds the stanza and that
pg_cron runs, and forgets why `initialize` refused once somebody leads.
"""

import hashlib
import json
import logging
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.agent import checks, database, facts, paths, patroni, scheduler, stanza
from infra.agent.errors import AgentError
from infra.agent.facts import Machine, read_json
from infra.agent.files import remove
from infra.agent.run import one_line
from infra.agent.verdict import leader_of

PAUSE = 3.0  # seconds between two looks
SCHEDULER_PAUSE = 20.0  # seconds between two looks at pg_cron
LOCK = 4_812_907_233_601  # advisory lock that keeps two bootstraps of one database apart
GROUPS = tuple(
    f"comms_{name}" for name in ("app", "worker", "ops", "auditor", "report", "monitor", "migrator")
)
ATTRIBUTES = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT"
AUDITED = ("comms_ops", "comms_auditor", "comms_migrator")
"""Groups of people who can read across tenants: what they read is logged, see docs/security.md."""
AUDIT_SETTINGS = {
    "pgaudit.log": "ddl, role, read",
    "pgaudit.log_catalog": "off",  # who looks at the catalogue reads no personal data
    "pgaudit.log_relation": "on",  # name every table, also those behind a view or a function
}
VERIFIER = re.compile(
    r"SCRAM-SHA-256\$[0-9]{4,7}:[A-Za-z0-9+/=]{16,88}\$[A-Za-z0-9+/=]{44}:[A-Za-z0-9+/=]{44}\Z"
)

BINDINGS = (
    ("internal.organization_logins", "organization_id"),
    ("internal.unrestricted_logins", "reason"),
)
"""What says which organizations a login may enter, and what is copied of it with the login."""

Logins = Mapping[str, Mapping[str, str | None]]
"""Login → its group, its verifier (None: it must not get in any more), and under `takes_over` the
login whose place it takes: see infra/trust/resources.py, Login."""

log = logging.getLogger(__name__)


def watch(machine: Machine, stop: threading.Event) -> None:
    """Apply what this machine was given whenever it leads, until `stop` is set.

    Failures are logged once each and tried again; whatever is applied already is left alone, so
    this can be stopped and started at any time. It ends when the machines of the cluster are
    others: systemd starts it again.
    """
    said, due = "", time.monotonic() + SCHEDULER_PAUSE
    while not stop.is_set() and facts.machine() == machine:
        try:
            _step(machine)
            if time.monotonic() >= due and patroni.leads(machine.name):
                due = time.monotonic() + SCHEDULER_PAUSE
                _tend_scheduler(machine.database)
            said = ""
        except (AgentError, psycopg.Error) as error:
            complaint = one_line(str(error))
            if complaint != said:
                log.warning("not done yet, trying again: %s", complaint)
            said = complaint
        stop.wait(PAUSE)


def _step(machine: Machine) -> None:
    leads = patroni.leads(machine.name)
    if leads:
        bootstrap_sql, logins = wanted()
        if apply(database.local_superuser(machine.database), bootstrap_sql, logins):
            log.info("applied bootstrap %s", fingerprint(bootstrap_sql, logins)[:12])
    if paths.REFUSED.exists():
        forget_refusal(patroni.members(machine.database_machines))
    stanza.ensure(machine.stanza, leads=leads)


def _tend_scheduler(name: str) -> None:
    with psycopg.connect(database.local_superuser(name), autocommit=True) as connection:
        scheduler.ensure(connection)


def forget_refusal(members: Mapping[str, patroni.Member | None]) -> None:
    """Remove what `initialize` refused before, if one of `members` leads: it is history then."""
    if leader_of(members) is not None:
        remove(paths.REFUSED)


def wanted(
    sql_file: Path = paths.BOOTSTRAP_SQL, logins_file: Path = paths.LOGINS
) -> tuple[str, Logins]:
    """Return the bootstrap SQL and the login roles that this machine was given.

    Raises:
        AgentError: a file is missing or malformed.
    """
    try:
        text = sql_file.read_text(encoding="utf-8")
    except OSError as error:
        raise AgentError(
            f"cannot read {sql_file} ({error.strerror}); it comes with the machine"
        ) from error
    return text, check_logins(read_json(logins_file))


def check_logins(logins: Mapping[str, object]) -> Logins:
    """Return `logins` (login → group, SCRAM verifier, …) if every name and verifier is allowed.

    Raises:
        AgentError: names the login that is wrong; a verifier is never repeated.
    """
    checked: dict[str, Mapping[str, str | None]] = {}
    for login, value in logins.items():
        said = checks.mapping(value, login)
        verifier = said.get("verifier", "")
        if verifier is not None and not (isinstance(verifier, str) and VERIFIER.match(verifier)):
            raise AgentError(
                f"login {login}: its verifier is not of the form SCRAM-SHA-256$…; roll it anew"
            )
        name = checks.text(login, "login", checks.IDENTIFIER)
        group = checks.one_of(said.get("group"), f"{login}.group", GROUPS)
        checked[name] = {"group": group, "verifier": verifier}
        if "takes_over" in said:
            other = checks.one_of(said["takes_over"], f"{login}.takes_over", logins.keys())
            checked[name] = {**checked[name], "takes_over": other}
    return checked


def fingerprint(bootstrap_sql: str, logins: Mapping[str, Any]) -> str:
    """Return the sha256 by which an applied bootstrap is known."""
    canonical = json.dumps([bootstrap_sql, logins], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def apply(conninfo: str, bootstrap_sql: str, logins: Mapping[str, Any]) -> bool:
    """Make the database if it is missing and bring it to what is wanted, in one transaction.

    Args:
        conninfo: how a superuser reaches the database to be bootstrapped.
        bootstrap_sql: idempotent SQL; it makes the schema `internal` and the roles `comms_*`.
        logins: login → {"group", "verifier", "takes_over"}; see `Logins`.

    Returns:
        Whether anything was applied; False when this very bootstrap was the last one applied.

    Raises:
        AgentError: a login's name, group or verifier is not allowed.
        psycopg.Error: PostgreSQL refused; nothing is applied then.
    """
    checked = check_logins(logins)
    digest = fingerprint(bootstrap_sql, checked)
    _ensure_database(conninfo)
    with psycopg.connect(conninfo) as connection:
        connection.execute("SET LOCAL lock_timeout = '10s'")
        connection.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s)", [LOCK])
        if applied(connection) == digest:
            return False
        connection.execute(bootstrap_sql.encode())
        connection.execute("RESET ROLE")
        _make_logins(connection, checked)
        _record(connection, digest)
    return True


def applied(connection: psycopg.Connection[Any]) -> str | None:
    """Return the sha256 of the bootstrap applied last, or None before the first one."""
    there = connection.execute(
        "SELECT pg_catalog.to_regclass('internal.bootstrap_applied')"
    ).fetchone()
    if there is None or there[0] is None:
        return None
    row = connection.execute(
        "SELECT sha256 FROM internal.bootstrap_applied ORDER BY applied_at DESC LIMIT 1"
    ).fetchone()
    return None if row is None else cast(str, row[0])


def _ensure_database(conninfo: str) -> None:
    name = str(conninfo_to_dict(conninfo).get("dbname") or "postgres")
    with psycopg.connect(make_conninfo(conninfo, dbname="postgres"), autocommit=True) as connection:
        there = connection.execute(
            "SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", [name]
        )
        if there.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            log.info("created database %s", name)


def _make_logins(connection: psycopg.Connection[Any], logins: Logins) -> None:
    # A verifier is a secret of its own: whoever has it can pose as the server. It must not reach
    # the server's log, its statistics or pg_stat_activity.
    for setting, value in (
        ("log_statement", "none"),
        ("log_min_duration_statement", "-1"),
        ("log_min_error_statement", "panic"),
        ("pgaudit.log", "none"),
        ("pg_stat_statements.track", "none"),
        ("track_activities", "off"),
    ):
        connection.execute("SELECT pg_catalog.set_config(%s, %s, true)", [setting, value])
    for login, wish in logins.items():
        if wish["verifier"] is not None:
            _make_login(connection, login, str(wish["group"]), wish["verifier"])
    for login, wish in logins.items():
        if (other := wish.get("takes_over")) is not None:
            _take_over_bindings(connection, login, other)
    for login, wish in logins.items():
        if wish["verifier"] is None:
            _retire_login(connection, login)


def _take_over_bindings(connection: psycopg.Connection[Any], login: str, other: str) -> None:
    """Let `login` enter every organization that `other` may enter."""
    for table, column in BINDINGS:
        if not _exists(connection, table):
            continue  # before the first migration
        connection.execute(
            sql.SQL(
                "INSERT INTO {table} (login, {column}) SELECT {login}, {column} FROM {table}"
                " WHERE login = {other} ON CONFLICT DO NOTHING"
            ).format(
                table=sql.SQL(table),
                column=sql.Identifier(column),
                login=sql.Literal(login),
                other=sql.Literal(other),
            )
        )


def _retire_login(connection: psycopg.Connection[Any], login: str) -> None:
    """Keep `login` out: no password, no organization, and its sessions end.

    The role stays: what it did is recorded under its name, and the next rotation takes it again.
    """
    there = connection.execute("SELECT FROM pg_catalog.pg_roles WHERE rolname = %s", [login])
    if there.fetchone() is None:
        return
    role = sql.Identifier(login)
    connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(role))
    for table, _ in BINDINGS:
        if _exists(connection, table):
            delete = sql.SQL("DELETE FROM {} WHERE login = %s").format(sql.SQL(table))
            connection.execute(delete, [login])
    connection.execute(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
        " WHERE usename = %s",
        [login],
    )


def _exists(connection: psycopg.Connection[Any], relation: str) -> bool:
    row = connection.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL", [relation]).fetchone()
    return row is not None and bool(row[0])


def _make_login(connection: psycopg.Connection[Any], login: str, group: str, verifier: str) -> None:
    role = sql.Identifier(login)
    present = connection.execute(
        "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = %s", [login]
    ).fetchone()
    if present is None:
        connection.execute(sql.SQL("CREATE ROLE {}").format(role))
    # Set again each time: a login that somebody widened by hand is narrow again after the next run.
    connection.execute(sql.SQL("ALTER ROLE {} {}").format(role, sql.SQL(ATTRIBUTES)))
    if present is None or present[0] != verifier:
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(verifier)))
    _set_group(connection, login, group)
    _set_audit(connection, login, audited=group in AUDITED)


def _set_group(connection: psycopg.Connection[Any], login: str, group: str) -> None:
    """Make `login` a member of `group` and of no other group of ours, whoever granted that."""
    role = sql.Identifier(login)
    held = connection.execute(
        "SELECT g.rolname, pg_catalog.pg_get_userbyid(m.grantor)"
        " FROM pg_catalog.pg_auth_members AS m"
        " JOIN pg_catalog.pg_roles AS g ON g.oid = m.roleid"
        " JOIN pg_catalog.pg_roles AS l ON l.oid = m.member"
        r" WHERE l.rolname = %s AND g.rolname LIKE 'comms\_%%'",
        [login],
    ).fetchall()
    for other, grantor in held:
        connection.execute(
            sql.SQL("REVOKE {} FROM {} GRANTED BY {} CASCADE").format(
                sql.Identifier(other), role, sql.Identifier(grantor)
            )
        )
    connection.execute(
        sql.SQL("GRANT {} TO {} WITH ADMIN FALSE, INHERIT TRUE, SET TRUE").format(
            sql.Identifier(group), role
        )
    )


def _record(connection: psycopg.Connection[Any], digest: str) -> None:
    # Owned by the superuser: nobody else can claim that a bootstrap was applied.
    connection.execute(
        "CREATE TABLE IF NOT EXISTS internal.bootstrap_applied"
        " (sha256 text NOT NULL, applied_at timestamptz PRIMARY KEY DEFAULT clock_timestamp())"
    )
    connection.execute("REVOKE ALL ON internal.bootstrap_applied FROM PUBLIC")
    connection.execute("GRANT SELECT ON internal.bootstrap_applied TO comms_monitor")
    connection.execute("INSERT INTO internal.bootstrap_applied (sha256) VALUES (%s)", [digest])


def _set_audit(connection: psycopg.Connection[Any], login: str, *, audited: bool) -> None:
    """Log every read of `login`, or only what the cluster logs of everybody.

    Only a superuser may set these, so the login cannot switch them off.
    """
    role = sql.Identifier(login)
    for setting, value in AUDIT_SETTINGS.items():
        change = sql.SQL("SET {} = {}").format(sql.SQL(setting), sql.Literal(value))
        if not audited:
            change = sql.SQL("RESET {}").format(sql.SQL(setting))
        connection.execute(sql.SQL("ALTER ROLE {} {}").format(role, change))
