"""What every function that a program may call does with nonsense: a code of ours, nothing changed.

Each parameter in turn gets values that do not belong there, the others get good ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from guestcomms import db

from tests.db.server import Database

ORGANIZATION = "018f0000-0000-7000-8000-000000000001"
NOWHERE = "018f0000-0000-7000-8000-0000000000ee"
NIL = "00000000-0000-0000-0000-000000000000"
MANY = 100_000

# Text that has to come back as it is, or be refused: never to be understood as something else.
TEXTS = [
    None, "", " ", "\t\n\x07", "'; DROP TABLE guests; --", "{{7*7}}",
    "<script>alert(1)</script>", "\u202e\u05e9\u05dc\u05d5\u05dd",
    "\U0001f470\U0001f3fd\u200d\u2640", "%s%n$(id)", "x" * 1_000_000,
    "Robert\r\nBcc: everybody@example.com",
]  # fmt: skip
UUIDS = [None, NIL, NOWHERE, "ffffffff-ffff-ffff-ffff-ffffffffffff"]
TIMES = [None, "-infinity", "infinity", "0001-01-01", "4000-01-01", "294000-01-01"]
VALUES: dict[str, list[Any]] = {
    "text": TEXTS,
    "name": ["", "nobody", "'; DROP ROLE comms_owner; --"],
    "uuid": UUIDS,
    "uuid[]": [None, [], [None], [NOWHERE], [NOWHERE] * MANY],
    "text[]": [None, [], [None], ["\u202e"], ["x"] * MANY],
    "name[]": [["nobody"]],
    "jsonb": [
        None, "null", "1", '"text"', "[]", "{}", "[null]", "[[]]", '[{"unknown": 1}]', "[1,2]",
        '{"a": {"b": [1]}}', json.dumps([{"email": "\u202e@\u0007"}]), json.dumps([{}] * MANY),
        '{"constructor": "__proto__"}', json.dumps("x" * 100_000),
    ],
    "timestamp with time zone": TIMES,
    "time without time zone": [None, "00:00", "24:00"],
    "date": TIMES,
    "interval": [None, "0", "-1 day", "1 microsecond", "100000 years", "-100000 years"],
    "smallint": [None, -32768, -1, 0, 32767],
    "integer": [None, -2147483648, -1, 0, 2147483647],
    "bigint": [None, -(2**63), -1, 0, 2**63 - 1],
    "numeric": [None, "NaN", "-1", "1e100"],
    "double precision": [None, "NaN", "-1", "1e300"],
    "boolean": [None],
    "bytea": [None, b"", b"\x00" * MANY],
    "inet": [None, "::", "0.0.0.0/0"],
}  # fmt: skip
# Codes that name the value and are PostgreSQL's own: a CHECK, a NULL byte that no
# text may hold, a value out of range. Anything else that is not ours is an accident.
PLAIN = {"22P05", "22021", "22003", "22008", "22P02"}


@dataclass(frozen=True)
class Function:
    """A function and the groups that may call it."""

    name: str
    parameters: list[str]
    types: list[str]
    callers: list[str]

    def __str__(self) -> str:
        return self.name


FUNCTIONS = """
SELECT routine.proname::text AS name,
    routine.proargnames[1:routine.pronargs]::text[] AS parameters,
    array(
        SELECT format_type(argument, NULL)
        FROM unnest(routine.proargtypes) WITH ORDINALITY AS given (argument, place) ORDER BY place
    ) AS types,
    array(
        SELECT replace(acl.grantee::regrole::text, 'comms_', 'wedsync_')
        FROM aclexplode(routine.proacl) AS acl WHERE acl.grantee <> routine.proowner ORDER BY 1
    ) AS callers
FROM pg_proc AS routine
WHERE routine.pronamespace = 'public'::regnamespace AND routine.pronargs > 0
    AND routine.prorettype <> 'trigger'::regtype
ORDER BY 1
"""
LOGINS = ("wedsync_app", "wedsync_worker", "wedsync_ops", "wedsync_auditor", "wedsync_monitor")


def functions(database: Database) -> list[Function]:
    with database.connect() as connection:
        return [Function(**row) for row in db.rows(connection, FUNCTIONS)]


def good(connection: db.Connection) -> dict[str, Any]:
    """A good value by the name of a parameter; what is missing here gets NULL."""
    known: dict[str, Any] = {"p_organization_id": ORGANIZATION}
    for name, query in {
        "p_communication_id": "SELECT id FROM guest_communications",
        "p_template_id": "SELECT template_id FROM message_templates",
        "p_guest_id": "SELECT guest_id FROM guests WHERE erased_at IS NULL",
        "p_guest_ids": "SELECT array_agg(guest_id) FROM guests WHERE erased_at IS NULL",
        "p_batch_id": "SELECT batch_id FROM communication_batch_queue",
    }.items():
        known[name] = db.one_value(connection, f"{query} LIMIT 1".encode())
    return known | {
        "p_channel": "email", "p_purpose": "wedding_updates", "p_title": "t", "p_name": "n",
        "p_subject": "s", "p_body": "b", "p_idempotency_key": "k", "p_limit": 5,
    }  # fmt: skip


def contents(connection: db.Connection) -> dict[str, Any]:
    """How many rows each table of ours has, and a hash of them."""
    tables = db.rows(
        connection,
        "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace IN ('public'::regnamespace, 'internal'::regnamespace) ORDER BY 1",
    )
    return {
        row["name"]: db.one_value(
            connection,
            f"SELECT (count(*), sum(hashtextextended(one::text, 0)))::text"
            f" FROM {row['name']} AS one".encode(),
        )
        for row in tables
    }


def test_every_parameter_of_every_function(lived_in: Database) -> None:
    """Refused with a code of ours, or taken for what it is; a refusal changes nothing."""
    accidents: list[str] = []
    with lived_in.connect() as superuser:
        known = good(superuser)
        for function in functions(lived_in):
            login = next((one for one in LOGINS if one in function.callers), None)
            if login:
                before = contents(superuser)
                accidents += [*nonsense(lived_in, function, login, known)]
                if contents(superuser) != before:
                    accidents.append(f"{function} changed something")
    assert accidents == []


def nonsense(
    database: Database, function: Function, login: str, known: dict[str, Any]
) -> Iterator[str]:
    """Call a function with one bad value after another, tell what went wrong.

    What is refused is called once more without a way back, so that a change would stay.
    """
    with database.connect(login) as connection:
        connection.execute("SET statement_timeout = '60s'")
        for place, kind in enumerate(function.types):
            for value in VALUES[kind]:
                arguments = [known.get(name) for name in function.parameters]
                arguments[place] = value
                with connection.transaction(force_rollback=True):
                    state = call(connection, function, arguments)
                if state:
                    call(connection, function, arguments)
                if state and not state.startswith("GC") and state not in PLAIN:
                    yield f"{function}({function.parameters[place]} => {value!r:.60}): {state}"


def call(connection: db.Connection, function: Function, arguments: list[Any]) -> str | None:
    """The SQLSTATE of a call; None if it was answered."""
    marks = ", ".join(
        f"{name} => %s::{kind}"
        for name, kind in zip(function.parameters, function.types, strict=True)
    )
    try:
        query = f"SELECT * FROM public.{function}({marks})"
        with connection.transaction():
            connection.execute(query.encode(), arguments)
    except db.DatabaseError as error:
        return error.sqlstate or type(error).__name__
    return None
