"""`sessions`: who is connected to this machine as which login, through the pooler or directly.

A rotation of passwords asks it before it takes a login away. PgBouncer keeps server connections
of a login for minutes after its last client has gone, so clients are counted where they arrive.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

from infra.agent import database
from infra.agent.facts import Machine

_DIRECT = """
    SELECT usename AS login FROM pg_catalog.pg_stat_activity
    WHERE backend_type = 'client backend' AND client_addr IS NOT NULL AND usename IS NOT NULL"""


def report(machine: Machine) -> Mapping[str, Any]:
    """Return {"machine", "logins": login → number of connections}.

    Raises:
        psycopg.Error: PgBouncer or PostgreSQL on this machine gives no answer.
    """
    counted: Counter[str] = Counter()
    # The console speaks the simple protocol only: psycopg's client-side cursor does.
    with (
        psycopg.connect(database.pooler_console(), autocommit=True) as console,
        psycopg.ClientCursor(console, row_factory=dict_row) as cursor,
    ):
        counted.update(str(row["user"]) for row in cursor.execute("SHOW CLIENTS"))
    with psycopg.connect(database.local_superuser(machine.database)) as connection:
        counted.update(str(row[0]) for row in connection.execute(_DIRECT))
    return {"machine": machine.name, "logins": dict(counted)}
