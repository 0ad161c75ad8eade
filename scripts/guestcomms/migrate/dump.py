"""Where the dump behind schema.sql comes from: pg_dump here, or on a machine of the stack."""

from __future__ import annotations

from guestcomms import db, node, run
from guestcomms.migrate.schema import DUMP_OPTIONS, normalise
from guestcomms.migrate.session import OWNER
from guestcomms.stack import Stack

_TODO = "see `.venv/bin/guestcomms migrate schema --help`"


def of_dsn(dsn: str) -> str:
    """The schema of any database, with the pg_dump on PATH, which must be as new as the server."""
    dump = run.capture(
        ["pg_dump", *DUMP_OPTIONS, f"--role={OWNER}"],
        todo=_TODO,
        install="install it in the server's version (on Debian: postgresql-client-17)",
        env=db.environment(dsn),
    )
    return normalise(dump.stdout)


def of_stack(stack: Stack) -> str:
    """The schema of a stack, with the pg_dump of one of its database machines."""
    machines = stack.outputs.machines.items()
    machine = next(name for name, facts in machines if facts.role == "database")
    dump = node.capture(
        stack,
        machine,
        ["runuser", "-u", "postgres", "--", "pg_dump", *DUMP_OPTIONS, stack.outputs.database],
        todo=_TODO,
    )
    return normalise(dump.stdout)
