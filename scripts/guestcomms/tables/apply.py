"""Run a copy-back: step by step, over and over if need be, while the application goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from guestcomms import db, hints
from guestcomms.errors import GuestcommsError, RefusedError
from guestcomms.tables.compare import acting_as
from guestcomms.tables.ledger import TableRestore
from guestcomms.tables.script import CLOSING, Step

LOCK = "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended(%s, 0))"


def mark(connection: db.Connection) -> str:
    """Write a recovery point to which the table can be restored if the copy-back was wrong.

    Parameters: `connection` of operations. Returns the point's id.
    """
    query = (
        "INSERT INTO public.communication_recovery_points (recovery_point_id, recovery_type)"
        " VALUES ('before_copy_back_' || pg_catalog.to_char("
        "pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS'),"
        " 'point_in_time') RETURNING recovery_point_id"
    )
    return str(db.one_value(connection, query))


def run(
    connection: db.Connection,
    restore: TableRestore,
    steps: Sequence[Step],
    *,
    stack: str,
    report: Callable[[str], None],
) -> dict[str, int]:
    """Run the steps; returns how many rows ended how: `applied`, `moved`, `in the way`.

    Parameters: `connection`, direct and autocommit, of a login that may become comms_owner;
    `report` hears the step, and how many rows it has done.
    Raises `RefusedError` while another session does the same, `GuestcommsError` at the first step
    that fails: what came before stays, and the same command goes on there.
    """
    if not db.one_value(connection, LOCK, [restore.drill_id]):
        raise RefusedError(f"{restore.drill_id} is being copied back by another session.")
    connection.execute("SET statement_timeout = 0")
    connection.execute("SET lock_timeout = '10s'")
    title = ""

    def hear(notice: str) -> None:
        report(f"{title}: {notice}")

    work = [step for step in steps if step.title != CLOSING]
    closing = [step for step in steps if step.title == CLOSING]
    with db.notices(connection, hear):
        try:
            for step in work:
                title = step.title
                report(title)
                connection.execute(step.sql.encode())
        except db.DatabaseError as error:
            again = hints.command(f"restore table --apply {restore.drill_id}", stack)
            raise GuestcommsError(
                f"Step {title!r} failed: {db.first_line(error)}; the batches before it are done,"
                f" and what failed is undone. Change the file or the table, then go on: {again}."
            ) from error
        finally:
            if connection.info.transaction_status != db.IDLE and not connection.broken:
                connection.rollback()
            for step in closing:
                if not connection.broken:
                    connection.execute(step.sql.encode())
                    connection.execute("RESET ROLE")
    return outcomes(connection, restore, finished=True)


def outcomes(
    connection: db.Connection, restore: TableRestore, *, finished: bool = False
) -> dict[str, int]:
    """What became of the rows so far; `finished` also notes in the ledger that all is done."""
    with acting_as(connection, "comms_maintenance"):
        rows = db.rows(
            connection,
            db.sql.SQL(
                "SELECT _outcome, pg_catalog.count(*) AS count FROM {}"
                " WHERE _outcome IS NOT NULL GROUP BY 1"
            ).format(db.sql.Identifier(*restore.difference_table)),
        )
    found = {row["_outcome"]: row["count"] for row in rows}
    if finished:
        with acting_as(connection, "comms_owner"):
            connection.execute(
                "UPDATE public.communication_table_restores"
                " SET applied_at = pg_catalog.clock_timestamp(), applied_by = session_user,"
                " differences = differences || pg_catalog.jsonb_build_object('outcome', %s::jsonb)"
                " WHERE drill_id = %s",
                [db.as_json(found), restore.drill_id],
            )
    return found
