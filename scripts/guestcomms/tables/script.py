"""The SQL that copies rows back, written to be read and then run: by `apply`, or by psql.

It is cut into steps. Those over rows go on in batches, each its own transaction: no lock is held
for longer than one, the application goes on, and a step that was interrupted goes on where it was.
A table that is not there is made and filled in one transaction instead: nobody sees it half full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import indent
from typing import Any

from guestcomms import db, hints
from guestcomms.tables.compare import Comparison
from guestcomms.tables.ledger import Definition, Partition, TableRestore
from guestcomms.tables.left_out import INSTEAD, NEVER_DELETED, value_sql

BATCH = 1000
"""Rows a transaction: some hundred milliseconds."""
MAINTENANCE = "comms_maintenance"
"""Who sees the rows of every tenant."""
MARK = "-- step: "
CLOSING = "take back the rights"
"""The step that runs whatever became of those before."""

_TRIGGERS = """
SELECT trigger.tgname AS name, pg_catalog.pg_get_triggerdef(trigger.oid) AS definition,
    (trigger.tgtype & 16) > 0 AND routine.proname = 'refuse_change' AS refuses_update,
    (trigger.tgtype & 8) > 0 AND routine.proname = 'refuse_change' AS refuses_delete
FROM pg_catalog.pg_trigger AS trigger
JOIN pg_catalog.pg_proc AS routine ON routine.oid = trigger.tgfoid
WHERE trigger.tgrelid = pg_catalog.to_regclass(%s) AND NOT trigger.tgisinternal
    AND trigger.tgenabled <> 'D'
ORDER BY trigger.tgname
"""
_IS_LOST = "SELECT pg_catalog.to_regclass(%s) IS NULL"
_HAS_CONSTRAINT = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_constraint AS known
    WHERE known.conrelid = child.oid AND known.conname = %s
) AS is_there
FROM pg_catalog.pg_class AS child WHERE child.oid = pg_catalog.to_regclass(%s)
"""


@dataclass(frozen=True)
class Step:
    """A part of the file: what it does, and its SQL."""

    title: str
    sql: str


def write(
    connection: db.Connection,
    restore: TableRestore,
    definition: Definition,
    found: Comparison,
    *,
    delete_extra: bool,
    stack: str,
) -> str:
    """The whole file for what a comparison found; `delete_extra` also deletes what is too many."""
    names = _Names(connection, restore, definition)
    triggers = db.rows(connection, _TRIGGERS, [restore.table_name])
    made = _Script(connection, restore, definition, found, names, triggers, delete_extra)
    steps = made.into_table() if found.live.is_there else made.anew()
    parts = [made.head(stack), *(f"{MARK}{step.title}\n{step.sql.strip()}\n" for step in steps)]
    return "\n".join(parts)


def steps_of(text: str) -> list[Step]:
    """The steps of a file as it stands now, whoever changed it since it was written."""
    _, *parts = re.split(rf"^{re.escape(MARK)}", text, flags=re.MULTILINE)
    steps = []
    for part in parts:
        title, _, sql = part.partition("\n")
        steps.append(Step(title.strip(), sql.strip()))
    return steps


class _Names:
    """The tables of one copy-back, quoted, and the statements over their rows."""

    def __init__(
        self, connection: db.Connection, restore: TableRestore, definition: Definition
    ) -> None:
        self.table = restore.table_name
        self.side = f"restored.{restore.drill_id}"
        self.difference = f"restored.{restore.drill_id}_difference"
        self._key = definition.key
        self._quoted = _quotes(
            connection, [*definition.key, *(column.name for column in definition.columns)]
        )

    def insert(self, columns: Sequence[str]) -> str:
        """CTEs that add the rows of `batch`; `done` has the `_n` of those that were added."""
        key = ", ".join(self._quoted[name] for name in self._key)
        return f"""back AS (
    INSERT INTO {self.table} ({self._list(columns)})
    OVERRIDING SYSTEM VALUE
    SELECT {", ".join(self._value(name, is_live=False) for name in columns)}
    FROM batch
    JOIN {self.side} AS was ON {self._same("was", "batch")}
    ON CONFLICT DO NOTHING
    RETURNING {key}
),
done AS (
    SELECT batch._n FROM batch JOIN back ON {self._same("back", "batch")}
)"""

    def update(self, columns: Sequence[str], compared: Sequence[str]) -> str:
        """A CTE that sets the columns of rows which are as they were compared."""
        values = ",\n        ".join(
            f"{self._quoted[name]} = {self._value(name, is_live=True)}" for name in columns
        )
        return f"""done AS (
    UPDATE {self.table} AS live
    SET {values}
    FROM batch
    JOIN {self.side} AS was ON {self._same("was", "batch")}
    WHERE {self._same("live", "batch")}
        AND {self._hash(compared)} = batch._live
    RETURNING batch._n
)"""

    def delete(self, compared: Sequence[str]) -> str:
        """A CTE that deletes rows which are as they were compared."""
        return f"""done AS (
    DELETE FROM {self.table} AS live
    USING batch
    WHERE {self._same("live", "batch")}
        AND {self._hash(compared)} = batch._live
    RETURNING batch._n
)"""

    def batches(self, kind: str, change: str) -> str:
        """A loop over the rows of a kind; `change` are CTEs, the last is `done` with their `_n`."""
        missed = "in the way" if kind == "missing" else "moved"
        return f"""
DO $copy_back$
DECLARE
    v_last bigint := 0;
    v_done bigint := 0;
    v_rows bigint;
BEGIN
    LOOP
        WITH batch AS MATERIALIZED (
            SELECT * FROM {self.difference}
            WHERE _n > v_last AND _difference = '{kind}' AND _outcome IS NULL AND _left_out IS NULL
            ORDER BY _n LIMIT {BATCH}
        ),
{indent(change, " " * 8)},
        noted AS (
            UPDATE {self.difference} AS found
            SET _outcome = CASE WHEN done._n IS NULL THEN '{missed}' ELSE 'applied' END
            FROM batch LEFT JOIN done ON done._n = batch._n
            WHERE found._n = batch._n
            RETURNING found._n
        )
        SELECT count(*), coalesce(max(_n), v_last) INTO v_rows, v_last FROM noted;
        EXIT WHEN v_rows = 0;
        COMMIT;
        v_done := v_done + v_rows;
        RAISE NOTICE '{kind}: % rows', v_done;
    END LOOP;
END
$copy_back$;
"""

    def _value(self, column: str, *, is_live: bool) -> str:
        return value_sql(self.table, column, self._quoted[column], is_live=is_live)

    def _list(self, columns: Sequence[str], alias: str | None = None) -> str:
        prefix = f"{alias}." if alias else ""
        return ", ".join(prefix + self._quoted[name] for name in columns)

    def _same(self, left: str, right: str) -> str:
        return " AND ".join(
            f"{left}.{self._quoted[name]} = {right}.{self._quoted[name]}" for name in self._key
        )

    def _hash(self, compared: Sequence[str]) -> str:
        return f"pg_catalog.hash_record_extended(ROW({self._list(compared, 'live') or '0'}), 0)"


@dataclass(frozen=True)
class _Script:
    """What the file is written from."""

    connection: db.Connection
    restore: TableRestore
    definition: Definition
    found: Comparison
    names: _Names
    triggers: Sequence[dict[str, Any]]
    delete_extra: bool

    def head(self, stack: str) -> str:
        """What was found and is going to be done, as comments."""
        restore, found = self.restore, self.found
        again = hints.command(f"restore table --apply {restore.drill_id}", stack)[1:-1]
        counts = ", ".join(f"{count} {kind}" for kind, count in found.counts.items())
        lines = [
            f"Copy-back of {restore.table_name} as it was at {restore.moment}: {restore.drill_id}.",
            f"Compared at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {counts}.",
            *(f"Left out: {count} rows, {why}." for why, count in sorted(found.left_out.items())),
        ]
        if restore.row_predicate:
            lines.append(f"Only rows with: {restore.row_predicate!r}.")
        lines += [f"Trigger {one['name']} fires: {one['definition']}." for one in self.triggers]
        if restore.table_name in INSTEAD:
            lines.append(
                "A message that was waiting comes back as unknown: nothing proves that it was not"
                " sent since. resolve_unknown() queues it again, or ends it."
            )
        if found.live.is_there:
            lines += self._about_rows(stack)
        else:
            lines.append(
                "The table is not there: it is made as it was, and filled, in one transaction."
            )
            lines.append(
                f"Afterwards {hints.command('migrate apply', stack)}: what fell with it comes back."
            )
        lines += ["", "Read it, change it where it is wrong, then run it:", f"    {again}"]
        return "".join(f"-- {line}".rstrip() + "\n" for text in lines for line in text.split("\n"))

    def _about_rows(self, stack: str) -> Iterator[str]:
        found = self.found
        yield f"Columns: {', '.join(found.columns)}."
        if lost := self._lost_partitions():
            yield (
                f"Partitions that are not there any more: {', '.join(one.name for one in lost)}."
                " Somebody dropped them, or retention did: see communication_data_retention."
            )
        yield (
            "A row that changed since the comparison stays as it is and is noted as `moved`; one"
            " that another row is in the way of is noted as `in the way`."
        )
        if found.counts.get("extra") and not self.delete_extra:
            yield "What is extra stays: --delete-extra writes its deletion."
        check = hints.command("integrity check", stack)
        yield f"Counters follow from rows: afterwards {check}."

    def into_table(self) -> Iterator[Step]:
        """Steps for a table that is there."""
        names, counts = self.names, self.found.counts
        live = self.found.live
        inserted = [one.name for one in self.definition.columns if one.name in live.columns]
        updated = [name for name in self.found.columns if name not in live.identities]
        may_update = not any(trigger["refuses_update"] for trigger in self.triggers)
        may_delete = self.restore.table_name not in NEVER_DELETED and not any(
            trigger["refuses_delete"] for trigger in self.triggers
        )
        missing, changed = bool(counts["missing"]), bool(counts["changed"] and may_update)
        extra = bool(counts.get("extra") and self.delete_extra and may_delete)
        rights = [
            *(self._lacking("INSERT", inserted) if missing else ()),
            *(self._lacking("UPDATE", updated) if changed else ()),
            *(self._lacking("DELETE", ()) if extra else ()),
        ]
        partitions = self._partitions() if missing else ""
        if rights or partitions:
            yield Step("become the owner", "SET ROLE comms_owner;")
        if rights:
            given = f"GRANT {', '.join(rights)}\nON {names.table} TO {MAINTENANCE};"
            yield Step("give rights", given)
        if partitions:
            yield Step("make partitions", partitions)
        yield Step("see every tenant", f"SET ROLE {MAINTENANCE};")
        if missing:
            yield Step("missing rows", names.batches("missing", names.insert(inserted)))
        if changed:
            change = names.update(updated, self.found.columns)
            yield Step("changed rows", names.batches("changed", change))
        elif counts["changed"]:
            yield Step("changed rows stay", f"-- A trigger of {names.table} refuses every change.")
        if extra:
            yield Step("extra rows", names.batches("extra", names.delete(self.found.columns)))
        elif counts.get("extra") and self.delete_extra:
            yield Step("extra rows stay", "-- Each protects somebody or proves something.")
        taken = f"REVOKE {', '.join(rights)}\nON {names.table} FROM {MAINTENANCE};"
        yield Step(CLOSING, f"SET ROLE comms_owner;\n{taken}" if rights else "RESET ROLE;")

    def _lacking(self, right: str, columns: Sequence[str]) -> Iterator[str]:
        """The right that comms_maintenance has not got, for GRANT and REVOKE: no more than that."""
        if not columns:
            query = "SELECT pg_catalog.has_table_privilege(%s, %s, %s)"
            if not db.one_value(
                self.connection, query, [MAINTENANCE, self.restore.table_name, right]
            ):
                yield right
            return
        query = "SELECT pg_catalog.has_column_privilege(%s, %s, %s, %s)"
        lacking = [
            name
            for name in columns
            if not db.one_value(
                self.connection, query, [MAINTENANCE, self.restore.table_name, name, right]
            )
        ]
        if lacking:
            quotes = _quotes(self.connection, lacking)
            yield f"{right} ({', '.join(quotes.values())})"

    def _lost_partitions(self) -> list[Partition]:
        return [
            one
            for one in self.definition.partitions or []
            if db.one_value(self.connection, _IS_LOST, [_qualified(one.name)])
        ]

    def _partitions(self) -> str:
        """SQL that makes the partitions which are not there any more."""
        starts = [re.search(r"FROM \(('[^']+')\)", one.bound) for one in self._lost_partitions()]
        moments = ", ".join(start[1] for start in starts if start)
        if not moments:
            return ""
        return (
            f"SELECT partman.create_partition_time('{self.restore.table_name}',"
            f" ARRAY[{moments}]::timestamptz[]);"
        )

    def anew(self) -> Iterator[Step]:
        """Steps for a table that is not there."""
        connection, names = self.connection, self.names
        # Settings of pg_dump's own session: all it names is qualified.
        made = re.sub(
            r"^(SET [a-z_]+ = .*|SELECT pg_catalog\.set_config.*);$\n*",
            "",
            self.definition.sql,
            flags=re.MULTILINE,
        ).strip()
        # As pg_dump restores: what rows went through once, they do not go through again.
        trigger = r"^CREATE TRIGGER .*;$\n*"
        triggers = "".join(f"{one}\n" for one in re.findall(trigger, made, flags=re.MULTILINE))
        made = re.sub(trigger, "", made, flags=re.MULTILINE)
        granted = re.search(
            rf"^GRANT (?P<rights>[A-Z,]+) ON TABLE {re.escape(names.table)} TO {MAINTENANCE};",
            made,
            re.MULTILINE,
        )
        has_right = granted is not None and "INSERT" in granted["rights"].split(",")
        give = "" if has_right else f"GRANT INSERT ON {names.table} TO {MAINTENANCE};\n"
        take = "" if has_right else f"REVOKE INSERT ON {names.table} FROM {MAINTENANCE};\n"
        identities = re.findall(
            r"ALTER COLUMN (\w+) ADD GENERATED (?:ALWAYS|BY DEFAULT) AS IDENTITY \(\s*"
            r"SEQUENCE NAME (\S+)",
            made,
        )
        # The owner sees no row, who sees them is not the owner of the sequence.
        highest = "".join(
            f"SELECT pg_catalog.set_config("
            f"'restored.{column}', pg_catalog.max({column})::text, true) FROM {names.side};\n"
            for column, _ in identities
        )
        sequences = "".join(
            f"SELECT pg_catalog.setval('{sequence}',"
            f" pg_catalog.current_setting('restored.{column}')::bigint)"
            f" WHERE pg_catalog.current_setting('restored.{column}') <> '';\n"
            for column, sequence in identities
        )
        columns = [column.name for column in self.definition.columns]
        yield Step(
            "make the table and fill it",
            f"BEGIN;\nSET LOCAL ROLE comms_owner;\nSET LOCAL lock_timeout = '10s';\n\n"
            f"{made}\n\n{give}"
            f"SET LOCAL ROLE {MAINTENANCE};\n{highest}"
            f"WITH batch AS (\n    SELECT * FROM {names.difference} WHERE _left_out IS NULL\n),\n"
            f"{names.insert(columns)}\n"
            f"UPDATE {names.difference} AS found SET _outcome = 'applied'\n"
            f"FROM done WHERE done._n = found._n;\n"
            f"SET LOCAL ROLE comms_owner;\n{take}{sequences}{triggers}"
            f"ANALYZE {names.table};\nCOMMIT;",
        )
        for reference in self.definition.referenced_by or []:
            table, name = _qualified(reference.table), _quote(connection, reference.constraint)
            known = db.rows(connection, _HAS_CONSTRAINT, [reference.constraint, table])
            if not known or known[0]["is_there"]:
                continue
            # The check runs as the owner, who sees no row for as long as row security is forced:
            # nobody else sees the table between these lines.
            forced = [one for one in (names.table, table) if self._is_forced(one, made)]
            lines = [
                "BEGIN;",
                "SET LOCAL ROLE comms_owner;",
                "SET LOCAL lock_timeout = '10s';",
                *(f"ALTER TABLE {one} NO FORCE ROW LEVEL SECURITY;" for one in forced),
                f"ALTER TABLE {table} ADD CONSTRAINT {name} {reference.definition};",
                *(f"ALTER TABLE {one} FORCE ROW LEVEL SECURITY;" for one in forced),
                "COMMIT;",
            ]
            yield Step(
                f"foreign key of {table}: fails where a row refers to one that is left out",
                "\n".join(lines),
            )
        yield Step(CLOSING, "RESET ROLE;")

    def _is_forced(self, table: str, made: str) -> bool:
        """Whether the owner is under row security, in a table or in the SQL that makes it."""
        if table == self.restore.table_name:
            return f"{table} FORCE ROW LEVEL SECURITY" in made
        query = (
            "SELECT relforcerowsecurity FROM pg_catalog.pg_class"
            " WHERE oid = pg_catalog.to_regclass(%s)"
        )
        return bool(db.one_value(self.connection, query, [table]))


def _quotes(connection: db.Connection, names: Sequence[str]) -> dict[str, str]:
    """Names as they are written in SQL: in quotes where they need them."""
    query = (
        "SELECT name, pg_catalog.quote_ident(name) AS quoted"
        " FROM pg_catalog.unnest(%s::text[]) AS name"
    )
    return {row["name"]: row["quoted"] for row in db.rows(connection, query, [list(names)])}


def _quote(connection: db.Connection, name: str) -> str:
    return _quotes(connection, [name])[name]


def _qualified(name: str) -> str:
    """A relation's name with its schema: PostgreSQL leaves `public` out."""
    return name if "." in name else f"public.{name}"
