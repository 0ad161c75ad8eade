"""With what a run was done: the versions of the programs that took part in it."""

import functools
import hashlib
from pathlib import Path
from typing import Any

import psycopg

from infra.agent import pgbackrest

SHOWN = 12  # digits of the agent's checksum


def here(
    connection: psycopg.Connection[Any] | None = None, server: str | None = None
) -> dict[str, str]:
    """Return the versions of agent, pgBackRest and PostgreSQL, the last if it is known.

    Parameters: `connection` to the PostgreSQL that took part, or its version, `server`.

    Raises:
        AgentError: pgBackRest gives no answer.
    """
    known = server_of(connection) if connection is not None else server
    return {
        "agent": agent(),
        "pgbackrest": pgbackrest.version(),
        **({"postgresql": known} if known else {}),
    }


def server_of(connection: psycopg.Connection[Any]) -> str:
    """Return the version of PostgreSQL at the other end: 17.6."""
    return f"{connection.info.server_version // 10000}.{connection.info.server_version % 10000}"


@functools.cache
def agent() -> str:
    """Return the sha256 of the agent's file, shortened; `source` where it runs from a folder."""
    loader: Any = globals().get("__loader__")
    archive = getattr(loader, "archive", None)
    if archive is None:
        return "source"
    return hashlib.sha256(Path(archive).read_bytes()).hexdigest()[:SHOWN]
