"""A row in every table: those that tests/db/every_function leaves, and one made up for the rest.

Triggers and foreign keys are off for what is made up; what its CHECKs demand is found by trying the
words that they mention.
"""

from __future__ import annotations

import random
from typing import Any

from guestcomms import db

from tests.db import script
from tests.db.server import Database

ATTEMPTS = 2000
VALUES: dict[str, list[object]] = {
    "uuid": ["018f0000-0000-7000-8000-000000000001"],
    "timestamp with time zone": ["now", "tomorrow"],
    "time without time zone": ["12:00"],
    "date": ["now"],
    "interval": ["1 day"],
    "jsonb": ["{}", "[]"],
    "boolean": [True, False],
    "bytea": ["\\x" + 32 * "00"],
    "inet": ["127.0.0.1"],
    "name": ["postgres"],
    "text": ["x", "0000000"],
}
NUMBER: list[object] = [0, 1, 2, 100]
TOO_STRICT = {
    "guest_communications": """
        INSERT INTO public.guest_communications (
            organization_id, id, created_at, message_title, message_type, message_category, purpose,
            lawful_basis, body, compiled
        )
        SELECT '018f0000-0000-7000-8000-000000000001', id, internal.uuid_v7_time(id), 'x', 'sms',
            'transactional', 'stay', 'contract', 'x', '{}'
        FROM internal.uuid_v7() AS id
    """,
    "communication_restore_drills": """
        INSERT INTO public.communication_restore_drills (drill_id, target)
        VALUES ('drill_20260102_030405_000000', 'latest')
    """,
}


def fill(database: Database) -> None:
    """Leave no table of ours without a row."""
    script.run(database)
    with database.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        for row in db.rows(connection, _TABLES):
            if not _count(connection, row["name"]):
                _make_up(connection, row["name"])


def counts(database: Database) -> dict[str, int]:
    """Rows by table; of a partitioned table, those of its partitions."""
    with database.connect() as connection:
        return {
            row["name"]: _count(connection, row["name"]) for row in db.rows(connection, _TABLES)
        }


def _count(connection: db.Connection, table: str) -> int:
    return int(db.one_value(connection, f"SELECT count(*) FROM {table}".encode()))


def _make_up(connection: db.Connection, table: str) -> None:
    if table in TOO_STRICT:
        connection.execute(TOO_STRICT[table].encode())
        return
    columns = db.rows(connection, _COLUMNS, (table,))
    names = ", ".join(column["name"] for column in columns)
    places = ", ".join(f"%s::{column['type']}" for column in columns)
    insert = f"INSERT INTO {table} ({names}) VALUES ({places})".encode()
    choice = random.Random(table)  # noqa: S311
    refused = ""
    for _ in range(ATTEMPTS):
        try:
            connection.execute(insert, [_value(column, choice) for column in columns])
        except (db.sqlstates.IntegrityError, db.sqlstates.DataError) as error:
            refused = db.first_line(error)
        else:
            return
    raise AssertionError(f"{table}: fill it in every_function, no row made up passes: {refused}")


def _value(column: dict[str, Any], choice: random.Random) -> object:
    kind = column["type"]
    if column["nullable"] and choice.random() < 0.7:
        return None
    if kind.endswith("[]"):
        return choice.choice(["{}", "{x}"])
    known = VALUES.get(kind, NUMBER)
    return choice.choice(known + column["words"] if kind == "text" else known)


_TABLES = """
SELECT relation.oid::regclass::text AS name
FROM pg_class AS relation
WHERE relation.relkind IN ('r', 'p') AND NOT relation.relispartition
    AND relation.relnamespace IN ('public'::regnamespace, 'internal'::regnamespace)
    AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = relation.oid AND attnum > 0)
ORDER BY 1
"""

_COLUMNS = """
SELECT quote_ident(attribute.attname) AS name,
    format_type(attribute.atttypid, NULL) AS type, NOT attribute.attnotnull AS nullable,
    ARRAY(
        SELECT word[1]
        FROM pg_constraint AS rule
        CROSS JOIN regexp_matches(pg_get_constraintdef(rule.oid), '''([^'']*)''::text', 'g') AS word
        WHERE rule.conrelid = attribute.attrelid AND rule.contype = 'c'
            AND attribute.attnum = ANY (rule.conkey)
    ) AS words
FROM pg_attribute AS attribute
WHERE attribute.attrelid = %s::regclass AND attribute.attnum > 0 AND NOT attribute.attisdropped
    AND attribute.attgenerated = '' AND attribute.attidentity = ''
    AND NOT attribute.atthasdef
ORDER BY attribute.attnum
"""
