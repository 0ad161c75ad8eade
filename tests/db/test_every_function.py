"""Every function of ours runs: PostgreSQL reads a body when it is called, not when it is made."""

from __future__ import annotations

from guestcomms import db

from tests.db import script
from tests.db.server import Database
from tests.waiting import wait_until

ONLY_RAISES = ["internal.refuse_change()"]
"""A call that ends with an error is not counted; test_audit.py proves that this one raises."""


def test_every_function_has_run(database: Database) -> None:
    """Not those with a standard body: read when they are made, and not counted when inlined."""
    database.server.execute(f"ALTER DATABASE {database.name} SET track_functions = 'all'")
    script.run(database)
    # A session adds what it counted to the statistics some time after it has ended.
    wait_until(lambda: idle(database) == ONLY_RAISES, problem=lambda: idle(database))


def idle(database: Database) -> list[str]:
    """Functions that nobody has called."""
    with database.connect() as connection:
        rows = db.rows(
            connection,
            """
            SELECT routine.oid::regprocedure::text AS name FROM pg_proc AS routine
            LEFT JOIN pg_stat_user_functions AS used ON used.funcid = routine.oid
            WHERE routine.pronamespace IN ('public'::regnamespace, 'internal'::regnamespace)
                AND routine.prosqlbody IS NULL AND coalesce(used.calls, 0) = 0
            """,
        )
    return [row["name"] for row in rows]


def test_who_runs_what_is_read_from_the_file() -> None:
    text = "SELECT ';';\nSELECT 2;\n-- as wedsync_app\nSELECT 3;\n"
    assert list(script.statements(text)) == [
        ("postgres", "SELECT ';'"),
        ("postgres", "SELECT 2"),
        ("wedsync_app", "SELECT 3"),
    ]
