"""Rows of one table as a restored copy has them, carried into schema `restored` of the database.

Which rows is a condition that a person wrote. It is evaluated in the copy by a login that sees the
tables of all tenants and is no superuser: whatever it says, it reaches nothing but the copy.

The table may be there no more: the ledger also gets the SQL that makes it.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from infra.agent import checks
from infra.agent.copies import READER, Copy
from infra.agent.errors import AgentError

TABLE = re.compile(r"(public|internal)\.[a-z_][a-z0-9_]{0,62}\Z")
CARRY_TIMEOUT = "6h"  # for all rows

_DESCRIBE = """
SELECT pg_catalog.jsonb_build_object(
    'columns', (
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', attname, 'type', pg_catalog.format_type(atttypid, atttypmod)
        ) ORDER BY attnum)
        FROM pg_catalog.pg_attribute
        -- What is generated follows from the rest.
        WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped
            AND attgenerated = ''
    ),
    'key', (
        SELECT pg_catalog.jsonb_agg(attname ORDER BY position)
        FROM pg_catalog.pg_constraint
        CROSS JOIN pg_catalog.unnest(conkey) WITH ORDINALITY AS part (number, position)
        JOIN pg_catalog.pg_attribute ON attrelid = conrelid AND attnum = part.number
        WHERE conrelid = %(table)s::regclass AND contype = 'p'
    ),
    'partitions', (
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', part.oid::regclass::text,
            'bound', pg_catalog.pg_get_expr(part.relpartbound, part.oid)
        ) ORDER BY part.oid::regclass::text)
        FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class AS part ON part.oid = inhrelid
        WHERE inhparent = %(table)s::regclass AND part.relkind = 'r'
    ),
    'referenced_by', (
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'table', conrelid::regclass::text, 'constraint', conname,
            'definition', pg_catalog.pg_get_constraintdef(oid)
        ) ORDER BY conrelid::regclass::text, conname)
        FROM pg_catalog.pg_constraint
        WHERE confrelid = %(table)s::regclass AND contype = 'f' AND conparentid = 0
    )
)
"""

# pg_dump leaves out extended statistics where it dumps one table.
_STATISTICS = """
SELECT pg_catalog.pg_get_statisticsobjdef(known.oid) || ';' || pg_catalog.format(
    E'\\nCOMMENT ON STATISTICS %%I.%%I IS %%L;', known.stxnamespace::regnamespace, known.stxname,
    pg_catalog.obj_description(known.oid, 'pg_statistic_ext')
)
FROM pg_catalog.pg_statistic_ext AS known
WHERE known.stxrelid IN (
    SELECT %(table)s::regclass
    UNION SELECT relid FROM pg_catalog.pg_partition_tree(%(table)s::regclass)
)
ORDER BY known.stxname
"""

log = logging.getLogger(__name__)


class TableError(AgentError):
    """The rows cannot be had, now or at another attempt."""


@dataclass(frozen=True)
class Wanted:
    """A table by schema and name, and the condition for its rows; None: all of them."""

    table: str
    predicate: str | None


def wanted(connection: psycopg.Connection[Any], drill_id: str) -> Wanted | None:
    """What a drill is to carry over; None if it is a drill only."""
    row = connection.execute(
        "SELECT table_name, row_predicate FROM internal.table_restore_wanted(%s)", [drill_id]
    ).fetchone()
    if row is None:
        return None
    return Wanted(checks.text(row[0], "table_name", TABLE), None if row[1] is None else str(row[1]))


def carry(
    what: Wanted,
    copy: Copy,
    live: psycopg.Connection[Any],
    attempt: tuple[str, str, int],
    beat: Callable[[], None],
) -> int:
    """Carry the rows over, and return how many they are.

    Args:
        what: the table and which of its rows.
        copy: where they are.
        live: a session of the agent that may take as long as the rows do.
        attempt: by which the ledger knows who does it.
        beat: called while they travel.

    Raises:
        TableError: the copy has no such table, or cannot make sense of the condition.
        psycopg.Error: either database gives no answer.
    """
    definition = _define(what.table, copy, beat)
    names = [column["name"] for column in definition["columns"]]
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    row = live.execute(
        "SELECT internal.open_side_table(%s, %s, %s, %s)", [*attempt, Jsonb(definition)]
    ).fetchone()
    log.info("%s: rows of %s go to %s", attempt[0], what.table, row[0] if row else "?")
    target = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier("restored", attempt[0]), columns
    )
    # A person's words, as they are: the login that hears them may do nothing else.
    wanted_rows = sql.SQL("{}{}").format(
        sql.Identifier(*what.table.split(".")),
        sql.SQL(f" WHERE ({what.predicate}\n)" if what.predicate else ""),
    )
    source = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)")
    with copy.connect(READER) as reader, reader.cursor() as giving, live.cursor() as taking:
        try:
            query = sql.SQL("SELECT pg_catalog.count(*) FROM {}").format(wanted_rows)
            (count,) = giving.execute(query).fetchone() or (0,)
            with (
                giving.copy(source.format(columns, wanted_rows)) as rows,
                taking.copy(target) as side,
            ):
                for data in rows:
                    side.write(data)
                    beat()
        except (psycopg.ProgrammingError, psycopg.DataError) as error:
            raise TableError(f"the rows wanted of {what.table}: {_primary(error)}") from error
    live.execute("SELECT internal.close_side_table(%s, %s, %s, %s)", [*attempt, count])
    return int(count)


def _define(table: str, copy: Copy, beat: Callable[[], None]) -> dict[str, Any]:
    """How the table was, as the ledger remembers it.

    Raises:
        TableError: it was not there, is none whose rows are restored, or has no primary key.
    """
    with copy.connect() as connection:
        known = connection.execute(
            "SELECT name FROM internal.content_tables() AS name WHERE name = %s", [table]
        ).fetchone()
        if known is None:
            raise TableError(
                f"there was no table {table} then; choose a target at which it was there"
            )
        row = connection.execute(_DESCRIBE, {"table": table}).fetchone()
        statistics = connection.execute(_STATISTICS, {"table": table}).fetchall()
    definition: dict[str, Any] = row[0] if row else {}
    if not definition.get("key"):
        raise TableError(f"{table} has no primary key: its rows cannot be told apart")
    made = "\n".join([copy.definition_of(table, beat), *(line for (line,) in statistics)])
    return {**definition, "sql": made}


def _primary(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error)
