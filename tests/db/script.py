"""tests/db/every_function: statements that call everything and leave rows in every table.

The files run in the order of their names, on one database, statement by statement. A line
`-- as wedsync_app` says who runs what follows in the file; it begins as postgres. Each login keeps
one connection, so that `BEGIN; SELECT enter_tenant(…); …; COMMIT;` works.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pglast
from guestcomms import db

from tests.db.server import Database

FILES = sorted(Path(__file__).with_name("every_function").glob("*.sql"))
MANUAL = sorted(Path(__file__).with_name("manual").glob("*.sql"))
"""The blocks of the older operations manual, word for word, by number."""


def manual(number: int) -> str:
    """One of them."""
    return MANUAL[number - 1].read_text(encoding="utf-8")


def run(database: Database) -> None:
    """Run every file; a failing statement is named with its file."""
    with ExitStack() as stack:
        connections: dict[str, db.Connection] = {}
        for file in FILES:
            for login, statement in statements(file.read_text(encoding="utf-8")):
                if login not in connections:
                    connections[login] = stack.enter_context(database.connect(login))
                try:
                    connections[login].execute(statement.encode())
                except db.DatabaseError as error:
                    error.add_note(f"{file.name}, as {login}: {statement}")
                    raise


def statements(text: str) -> Iterator[tuple[str, str]]:
    """Who runs what, in order."""
    first, *rest = re.split(r"^-- as (\w+)$", text, flags=re.MULTILINE)
    for login, part in [("postgres", first), *zip(rest[::2], rest[1::2], strict=True)]:
        for statement in pglast.split(part):
            yield login, statement
