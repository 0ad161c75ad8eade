"""What differs between a table as it was and the live one, row by row.

The comparison is a table of its own beside the restored rows. It remembers of each differing row
what the live one looked like, so that a copy-back changes only what a person has seen: a row that
the application has changed since then is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from guestcomms import db
from guestcomms.errors import UsageError
from guestcomms.tables import left_out
from guestcomms.tables.ledger import Definition, TableRestore

SAMPLES = 5
"""Keys that are shown of each kind."""
KINDS = ("missing", "changed", "extra")
_PATIENCE = "6h"  # one statement over a whole table

_COLUMNS = """
SELECT attribute.attname AS name, attribute.attidentity AS identity
FROM pg_catalog.pg_attribute AS attribute
WHERE attribute.attrelid = pg_catalog.to_regclass(%s) AND attribute.attnum > 0
    AND NOT attribute.attisdropped AND attribute.attgenerated = ''
ORDER BY attribute.attnum
"""
_KEY = """
SELECT pg_catalog.array_agg(attribute.attname::text ORDER BY part.position)
FROM pg_catalog.pg_constraint AS constraint_
CROSS JOIN pg_catalog.unnest(constraint_.conkey) WITH ORDINALITY AS part (number, position)
JOIN pg_catalog.pg_attribute AS attribute
    ON attribute.attrelid = constraint_.conrelid AND attribute.attnum = part.number
WHERE constraint_.conrelid = pg_catalog.to_regclass(%s) AND constraint_.contype = 'p'
"""
_PARENTS = """
SELECT
    parent_namespace.nspname AS schema, parent.relname AS name,
    pg_catalog.array_agg(mine.attname::text ORDER BY part.position) AS columns,
    pg_catalog.array_agg(theirs.attname::text ORDER BY part.position) AS referenced
FROM pg_catalog.pg_constraint AS foreign_key
JOIN pg_catalog.pg_class AS parent ON parent.oid = foreign_key.confrelid
JOIN pg_catalog.pg_namespace AS parent_namespace ON parent_namespace.oid = parent.relnamespace
CROSS JOIN ROWS FROM (
    pg_catalog.unnest(foreign_key.conkey), pg_catalog.unnest(foreign_key.confkey)
) WITH ORDINALITY AS part (number, referenced, position)
JOIN pg_catalog.pg_attribute AS mine
    ON mine.attrelid = foreign_key.conrelid AND mine.attnum = part.number
JOIN pg_catalog.pg_attribute AS theirs
    ON theirs.attrelid = foreign_key.confrelid AND theirs.attnum = part.referenced
WHERE foreign_key.conrelid = pg_catalog.to_regclass(%s) AND foreign_key.contype = 'f'
    AND foreign_key.conparentid = 0 AND foreign_key.confrelid <> foreign_key.conrelid
GROUP BY foreign_key.oid, parent_namespace.nspname, parent.relname
ORDER BY foreign_key.oid
"""


@dataclass(frozen=True)
class Live:
    """The live table as the comparison found it; no columns: it is not there."""

    columns: tuple[str, ...]
    identities: frozenset[str]
    """Columns whose values PostgreSQL gives, and UPDATE cannot set."""

    @property
    def is_there(self) -> bool:
        """Whether the table exists."""
        return bool(self.columns)


@dataclass(frozen=True)
class Comparison:
    """Rows by kind; `left_out` by reason; `samples` are keys of each kind."""

    live: Live
    columns: tuple[str, ...]
    """What was compared, and a copy-back sets."""
    counts: dict[str, int]
    left_out: dict[str, int]
    samples: dict[str, list[dict[str, str]]]

    def as_json(self) -> dict[str, Any]:
        """What the ledger remembers."""
        return {**self.counts, "left_out": self.left_out, "columns": list(self.columns)}


@contextmanager
def acting_as(connection: db.Connection, role: str) -> Iterator[None]:
    """A transaction as `comms_owner`, who makes tables, or `comms_maintenance`, who sees rows."""
    with connection.transaction():
        connection.execute(db.sql.SQL("SET LOCAL ROLE {}").format(db.sql.Identifier(role)))
        connection.execute(f"SET LOCAL statement_timeout = '{_PATIENCE}'".encode())
        connection.execute("SET LOCAL lock_timeout = '10s'")
        yield


def look_at(connection: db.Connection, restore: TableRestore) -> Live:
    """What the live table is like now."""
    found = db.rows(connection, _COLUMNS, [restore.table_name])
    return Live(
        tuple(row["name"] for row in found),
        frozenset(row["name"] for row in found if row["identity"] == "a"),
    )


def compare(
    connection: db.Connection,
    restore: TableRestore,
    definition: Definition,
    *,
    columns: Sequence[str] = (),
    include_left_out: bool = False,
) -> Comparison:
    """Compare, and remember each row that differs in the difference table, which is made anew.

    Parameters: `connection`, direct, of a login that may become comms_owner; `columns` to compare,
    all that both tables have by default; `include_left_out` ignores the rules of `left_out`.
    Raises `UsageError` for a column that is not in both, or a live table with another key.
    """
    live = look_at(connection, restore)
    compared = _compared(restore, definition, live, columns)
    if live.is_there:
        key = db.one_value(connection, _KEY, [restore.table_name])
        if key != definition.key:
            raise UsageError(
                f"{restore.table_name} has the primary key {key} now, {definition.key} then: rows"
                " cannot be matched; compare by hand, the rows are in"
                f" restored.{restore.drill_id}."
            )
    with acting_as(connection, "comms_owner"):
        _make(connection, restore, definition)
    with acting_as(connection, "comms_maintenance"):
        query = _differences(restore, definition, live, compared, include_left_out)
        connection.execute(query)
        if not include_left_out:
            for parent in db.rows(connection, _PARENTS, [restore.table_name]):
                _leave_out_orphans(connection, restore, definition, parent)
        found = _summary(connection, restore, definition, live, compared)
    with acting_as(connection, "comms_owner"):
        difference = db.sql.Identifier(*restore.difference_table)
        connection.execute(db.sql.SQL("ANALYZE {}").format(difference))
        connection.execute(
            "UPDATE public.communication_table_restores"
            " SET compared_at = pg_catalog.clock_timestamp(), differences = %s::jsonb"
            " WHERE drill_id = %s",
            [db.as_json(found.as_json()), restore.drill_id],
        )
    return found


def _compared(
    restore: TableRestore, definition: Definition, live: Live, wanted: Sequence[str]
) -> tuple[str, ...]:
    was = [column.name for column in definition.columns if column.name not in definition.key]
    there = live.columns if live.is_there else [column.name for column in definition.columns]
    common = tuple(name for name in was if name in there)
    if unknown := [name for name in wanted if name not in common]:
        raise UsageError(
            f"{', '.join(unknown)}: not a column that {restore.table_name} had and has, beside its"
            f" key; choose of {', '.join(common)}."
        )
    return tuple(wanted) or common


def _make(connection: db.Connection, restore: TableRestore, definition: Definition) -> None:
    """The difference table, empty; only comms_maintenance works with it."""
    names = {
        "difference": db.sql.Identifier(*restore.difference_table),
        "side": db.sql.Identifier(*restore.side_table),
        "key": _list(definition.key),
    }
    for statement in (
        "DROP TABLE IF EXISTS {difference}",
        (
            "CREATE TABLE {difference} AS SELECT NULL::bigint AS _n, NULL::text AS _difference,"
            " NULL::text AS _left_out, NULL::bigint AS _live, NULL::text AS _outcome, {key}"
            " FROM {side} WITH NO DATA"
        ),
        "ALTER TABLE {difference} ADD PRIMARY KEY (_n)",
        "REVOKE ALL ON {difference} FROM PUBLIC",
        "GRANT SELECT, INSERT, UPDATE ON {difference} TO comms_maintenance",
        (
            "CREATE POLICY maintenance ON {difference} TO comms_maintenance"
            " USING (true) WITH CHECK (true)"
        ),
        "ALTER TABLE {difference} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    ):
        connection.execute(db.sql.SQL(statement).format(**names))


def _differences(
    restore: TableRestore,
    definition: Definition,
    live: Live,
    compared: Sequence[str],
    include_left_out: bool,
) -> db.Query:
    key, sql = definition.key, db.sql
    first = sql.Identifier(key[0])
    reason = (
        "NULL::text"
        if include_left_out
        else left_out.reason_sql(restore.table_name, key[0] if live.is_there else None)
    )
    joins = sql.SQL(left_out.JOINS.get(restore.table_name, ""))
    if not live.is_there:
        return sql.SQL(
            "INSERT INTO {difference} (_n, _difference, _left_out, {columns})"
            " SELECT pg_catalog.row_number() OVER (ORDER BY {key}), 'missing', {reason}, {key}"
            " FROM {side} AS was {joins}"
        ).format(
            difference=sql.Identifier(*restore.difference_table),
            side=sql.Identifier(*restore.side_table),
            joins=joins,
            columns=_list(key),
            key=_list(key, "was"),
            reason=sql.SQL(reason),
        )
    return sql.SQL(
        "INSERT INTO {difference} (_n, _difference, _left_out, _live, {key})\n"
        "SELECT pg_catalog.row_number() OVER (ORDER BY difference, {key}), found.* FROM (\n"
        "    SELECT CASE WHEN live.{first} IS NULL THEN 'missing'"
        " WHEN was.{first} IS NULL THEN 'extra' ELSE 'changed' END AS difference,\n"
        "        {reason} AS left_out,\n"
        "        CASE WHEN live.{first} IS NOT NULL THEN {hash} END AS live, {either}\n"
        "    FROM {side} AS was {join} {table} AS live ON {same}\n"
        "    {joins}\n"
        "    WHERE was.{first} IS NULL OR live.{first} IS NULL OR {differs}\n"
        ") AS found"
    ).format(
        difference=sql.Identifier(*restore.difference_table),
        side=sql.Identifier(*restore.side_table),
        # With a condition only some rows were carried over: of the others nothing can be said.
        join=sql.SQL("LEFT JOIN" if restore.row_predicate else "FULL JOIN"),
        table=sql.Identifier(*restore.relation),
        joins=joins,
        first=first,
        reason=sql.SQL(reason),
        key=_list(key),
        hash=row_hash("live", compared),
        same=same_key(key, "was", "live"),
        either=sql.SQL(", ").join(
            sql.SQL("coalesce(was.{0}, live.{0}) AS {0}").format(sql.Identifier(name))
            for name in key
        ),
        differs=sql.SQL("({}) IS DISTINCT FROM ({})").format(
            _list(compared, "was"), _list(compared, "live")
        )
        if compared
        else sql.SQL("false"),
    )


def _leave_out_orphans(
    connection: db.Connection, restore: TableRestore, definition: Definition, parent: dict[str, Any]
) -> None:
    """Leave out rows that refer to a row of another table which is not there (any more)."""
    sql = db.sql
    relation = f"{parent['schema']}.{parent['name']}"
    known = {column.name for column in definition.columns}
    if not set(parent["columns"]) <= known:
        return
    connection.execute(
        sql.SQL(
            "UPDATE {difference} AS found SET _left_out = {reason}"
            " FROM {side} AS was"
            " WHERE {same} AND found._difference IN ('missing', 'changed')"
            " AND found._left_out IS NULL AND {complete}"
            " AND NOT EXISTS (SELECT FROM {parent} AS parent WHERE {refers})"
        ).format(
            difference=sql.Identifier(*restore.difference_table),
            side=sql.Identifier(*restore.side_table),
            reason=sql.Literal(f"it needs a row of {relation} that is not there"),
            same=same_key(definition.key, "was", "found"),
            complete=sql.SQL(" AND ").join(
                sql.SQL("was.{} IS NOT NULL").format(sql.Identifier(name))
                for name in parent["columns"]
            ),
            parent=sql.Identifier(parent["schema"], parent["name"]),
            refers=sql.SQL(" AND ").join(
                sql.SQL("parent.{} = was.{}").format(sql.Identifier(theirs), sql.Identifier(mine))
                for mine, theirs in zip(parent["columns"], parent["referenced"], strict=True)
            ),
        )
    )


def _summary(
    connection: db.Connection,
    restore: TableRestore,
    definition: Definition,
    live: Live,
    compared: tuple[str, ...],
) -> Comparison:
    sql = db.sql
    difference = sql.Identifier(*restore.difference_table)
    counted = db.rows(
        connection,
        sql.SQL(
            "SELECT _difference, _left_out, pg_catalog.count(*) AS count FROM {} GROUP BY 1, 2"
        ).format(difference),
    )
    counts, reasons = dict.fromkeys(KINDS, 0), dict[str, int]()
    if restore.row_predicate:
        del counts["extra"]
    for row in counted:
        if row["_left_out"] is None:
            counts[row["_difference"]] += row["count"]
        else:
            reasons[row["_left_out"]] = reasons.get(row["_left_out"], 0) + row["count"]
    samples = {
        kind: [
            {name: str(value) for name, value in row.items()}
            for row in db.rows(
                connection,
                sql.SQL(
                    "SELECT {} FROM {} WHERE _difference = {} AND _left_out IS NULL"
                    " ORDER BY _n LIMIT {}"
                ).format(
                    _list(definition.key), difference, sql.Literal(kind), sql.Literal(SAMPLES)
                ),
            )
        ]
        for kind in counts
    }
    return Comparison(live, compared, counts, reasons, samples)


def same_key(key: Sequence[str], left: str, right: str) -> db.sql.Composed:
    """SQL that holds where two rows have the same key."""
    return db.sql.SQL(" AND ").join(
        db.sql.SQL("{}.{} = {}.{}").format(
            db.sql.Identifier(left),
            db.sql.Identifier(name),
            db.sql.Identifier(right),
            db.sql.Identifier(name),
        )
        for name in key
    )


def row_hash(alias: str, columns: Sequence[str]) -> db.sql.Composed:
    """SQL of a number by which the values of a row are known again, whatever settings are."""
    values = _list(columns, alias) if columns else db.sql.SQL("0")
    return db.sql.SQL("pg_catalog.hash_record_extended(ROW({}), 0)").format(values)


def _list(names: Sequence[str], alias: str | None = None) -> db.sql.Composed:
    prefix = () if alias is None else (alias,)
    return db.sql.SQL(", ").join(db.sql.Identifier(*prefix, name) for name in names)
