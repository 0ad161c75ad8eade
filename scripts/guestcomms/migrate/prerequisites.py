"""What must be in a database before migrations can run: the superuser bootstrap's work.

On the machines of a stack the bootstrap has done it; on any other PostgreSQL this names what is
missing and the statement that makes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from guestcomms import db

MINIMUM_VERSION = 17
GROUPS = (
    "comms_owner", "comms_maintenance", "comms_agent", "comms_app", "comms_worker", "comms_ops",
    "comms_auditor", "comms_report", "comms_monitor", "comms_migrator",
)  # fmt: skip
EXTENSIONS = {
    "amcheck": "extensions",
    "pg_cron": "pg_catalog",
    "pg_partman": "partman",
    "pg_stat_statements": "extensions",
    "pg_wait_sampling": "extensions",
    "pgaudit": "extensions",
    "plpython3u": "pg_catalog",
}


@dataclass(frozen=True)
class Missing:
    """Something that has to be made first; `blocks` if migrations cannot run without it."""

    kind: Literal["version", "encoding", "role", "schema", "extension", "right"]
    name: str
    blocks: bool
    remedy: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def missing(connection: db.Connection) -> list[Missing]:
    """Everything that is missing, what blocks first."""
    if connection.info.server_version < MINIMUM_VERSION * 10000:
        version = str(connection.info.server_version // 10000)
        return [Missing("version", version, True, f"use PostgreSQL {MINIMUM_VERSION} or newer")]
    encoding = str(db.one_value(connection, "SHOW server_encoding"))
    if encoding != "UTF8":
        return [Missing("encoding", encoding, True, "CREATE DATABASE … ENCODING 'UTF8';")]
    roles = _missing_roles(connection)
    if roles:
        # The other questions are about these roles.
        return [*roles, *_missing_extensions(connection)]
    return [
        *_missing_schemas(connection),
        *_missing_rights(connection),
        *_missing_extensions(connection),
    ]


def _missing_roles(connection: db.Connection) -> list[Missing]:
    known = _names(connection, "SELECT rolname FROM pg_roles")
    return [
        Missing("role", name, True, f"CREATE ROLE {name} NOLOGIN;")
        for name in GROUPS
        if name not in known
    ]


def _missing_schemas(connection: db.Connection) -> list[Missing]:
    owned = _names(
        connection, "SELECT nspname FROM pg_namespace WHERE nspowner = 'comms_owner'::regrole"
    )
    remedies = {
        "public": "ALTER SCHEMA public OWNER TO comms_owner;",
        "internal": "CREATE SCHEMA internal AUTHORIZATION comms_owner;",
        "restored": "CREATE SCHEMA restored AUTHORIZATION comms_owner;",
    }
    return [
        # Migrations can do without what only restores of tables need.
        Missing("schema", f"{name} owned by comms_owner", name != "restored", remedy)
        for name, remedy in remedies.items()
        if name not in owned
    ]


def _missing_rights(connection: db.Connection) -> list[Missing]:
    rights = {
        "comms_owner: pg_create_restore_point": (
            "has_function_privilege('comms_owner', 'pg_create_restore_point(text)', 'EXECUTE')",
            "GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO comms_owner;",
        ),
        "comms_maintenance: create in public": (
            "has_schema_privilege('comms_maintenance', 'public', 'CREATE')",
            "GRANT USAGE, CREATE ON SCHEMA public TO comms_maintenance;",
        ),
        "this login: become comms_owner": (
            "pg_has_role(session_user, 'comms_owner', 'SET')",
            "GRANT comms_owner TO comms_migrator WITH INHERIT FALSE, SET TRUE;",
        ),
        "this login: become comms_maintenance": (
            "pg_has_role(session_user, 'comms_maintenance', 'SET')",
            "GRANT comms_maintenance TO comms_migrator WITH INHERIT FALSE, SET TRUE;",
        ),
        "this login: become guestcomms_cron, who schedules jobs": (
            """
            NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') OR EXISTS (
                SELECT FROM pg_roles
                WHERE rolname = 'guestcomms_cron' AND pg_has_role(session_user, oid, 'SET')
            )
            """,
            "GRANT guestcomms_cron TO comms_migrator WITH INHERIT FALSE, SET TRUE;",
        ),
    }
    return [
        Missing("right", name, True, remedy)
        for name, (question, remedy) in rights.items()
        if not db.one_value(connection, db.sql.SQL("SELECT {}").format(db.sql.SQL(question)))
    ]


def _missing_extensions(connection: db.Connection) -> list[Missing]:
    known = _names(connection, "SELECT extname FROM pg_extension")
    return [
        Missing("extension", name, False, f"CREATE EXTENSION {name} WITH SCHEMA {schema};")
        for name, schema in EXTENSIONS.items()
        if name not in known
    ]


def _names(connection: db.Connection, query: db.Query) -> set[str]:
    return {str(row[0]) for row in _fetch(connection, query)}


def _fetch(connection: db.Connection, query: db.Query) -> Iterable[tuple[object, ...]]:
    return connection.execute(query).fetchall()
