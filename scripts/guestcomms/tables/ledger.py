"""What the ledger knows of restores of tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from guestcomms import db, hints
from guestcomms.drills import parse_target
from guestcomms.errors import GuestcommsError, RefusedError, UsageError

_QUERY = """
SELECT restore.*, drill.target_type, drill.target, drill.inclusive, drill.status, drill.error,
    drill.reached_lsn, drill.reached_time, drill.restore_seconds, drill.total_seconds
FROM public.communication_table_restores AS restore
JOIN public.communication_restore_drills AS drill USING (drill_id)
"""


class Column(BaseModel):
    """A column of the table as it was; `type` as PostgreSQL writes it."""

    name: str
    type: str


class Partition(BaseModel):
    """A partition the table had, and what lay in it: `FOR VALUES FROM …`."""

    name: str
    bound: str


class Reference(BaseModel):
    """A foreign key that led to the table from another one."""

    table: str
    constraint: str
    definition: str


class Definition(BaseModel):
    """A table as it was at the target: columns without those that are generated, primary key."""

    columns: list[Column]
    key: list[str]
    partitions: list[Partition] | None = None
    referenced_by: list[Reference] | None = None
    sql: str = ""


class TableRestore(BaseModel):
    """A row of `communication_table_restores`, with what its drill says; times in seconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    drill_id: str
    table_name: str
    row_predicate: str | None
    requested_at: datetime
    requested_by: str
    definition: Definition | None
    row_count: int | None
    carried_at: datetime | None
    compared_at: datetime | None
    differences: dict[str, Any] | None
    applied_at: datetime | None
    applied_by: str | None
    dropped_at: datetime | None
    target_type: str
    target: str
    inclusive: bool
    status: str
    error: str | None
    reached_lsn: str | None
    reached_time: datetime | None
    restore_seconds: float | None
    total_seconds: float | None

    @property
    def side_table(self) -> tuple[str, str]:
        """Schema and name of the table that holds the rows as they were."""
        return "restored", self.drill_id

    @property
    def difference_table(self) -> tuple[str, str]:
        """Schema and name of the table that holds what the last comparison found."""
        return "restored", f"{self.drill_id}_difference"

    @property
    def relation(self) -> tuple[str, str]:
        """Schema and name of the live table."""
        schema, _, name = self.table_name.partition(".")
        return schema, name

    @property
    def state(self) -> str:
        """How far it is, for people."""
        if self.dropped_at is not None:
            return "copied back, dropped" if self.applied_at else "dropped"
        if self.applied_at is not None:
            return "copied back"
        if self.compared_at is not None:
            return "compared"
        return "carried over" if self.carried_at is not None else self.status

    @property
    def moment(self) -> str:
        """The target for people: `time 2026-01-31 …`."""
        return f"{self.target_type} {self.target}{'' if self.inclusive else ', exclusive'}"


def request(
    connection: db.Connection,
    table: str,
    target: str,
    *,
    inclusive: bool,
    rows: str | None,
) -> str:
    """Ask for a table as it was; returns the restore's id.

    Raises as `drills.parse_target`, `UsageError` for a condition that the live table refuses.
    """
    kind, value = parse_target(target)
    if rows is not None:
        _check_condition(connection, table, rows)
    query = "SELECT drill_id FROM public.request_table_restore(%s, %s, %s, %s, %s)"
    return str(db.one_value(connection, query, [table, kind, value, inclusive, rows]))


def find(connection: db.Connection, drill_id: str, stack: str) -> TableRestore:
    """A restore of a table by its id. Raises `UsageError` if there is none."""
    found = db.rows(connection, _QUERY + " WHERE drill_id = %s", [drill_id])
    if not found:
        raise UsageError(
            f"{drill_id} is no restore of a table; see {hints.command('restore tables', stack)}."
        )
    return TableRestore.model_validate(found[0])


def newest(connection: db.Connection, limit: int) -> list[TableRestore]:
    """The restores of tables that were requested last, newest first."""
    query = _QUERY + " ORDER BY restore.requested_at DESC LIMIT %s"
    return [TableRestore.model_validate(row) for row in db.rows(connection, query, [limit])]


def require_rows(restore: TableRestore, stack: str) -> Definition:
    """The definition of a table whose rows are there.

    Raises `RefusedError` if they are not there any more, `GuestcommsError` if they never came.
    """
    if restore.dropped_at is not None:
        again = hints.command(f"restore table {restore.table_name} --to …", stack)
        raise RefusedError(f"The rows of {restore.drill_id} were dropped; fetch them with {again}.")
    if restore.carried_at is None or restore.definition is None:
        raise GuestcommsError(
            f"The rows of {restore.drill_id} are not there (the restore is {restore.status}"
            f"{f': {restore.error}' if restore.error else ''}); see"
            f" {hints.command(f'restore show {restore.drill_id}', stack)}."
        )
    return restore.definition


def drop(connection: db.Connection, drill_id: str) -> bool:
    """Throw the rows away; False if there were none any more."""
    return bool(db.one_value(connection, "SELECT public.drop_restored_table(%s)", [drill_id]))


def _check_condition(connection: db.Connection, table: str, rows: str) -> None:
    """Let the live table say early what is wrong with a condition; it may be there no more."""
    name = table if "." in table else f"public.{table}"
    if db.one_value(connection, "SELECT pg_catalog.to_regclass(%s)", [name]) is None:
        return
    query = db.sql.SQL("EXPLAIN SELECT FROM {} WHERE ({}\n)").format(
        db.sql.Identifier(*name.split(".")),
        db.sql.SQL(rows),
    )
    try:
        connection.execute(query)
    except db.sqlstates.InsufficientPrivilege:
        return  # a table that operations do not read: the copy judges
    except db.DatabaseError as error:
        raise UsageError(
            f"--rows {rows!r} is no condition for {name}: {db.first_line(error)}."
        ) from None
