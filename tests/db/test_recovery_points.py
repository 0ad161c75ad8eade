"""Recovery points: the row says what is true, whatever the INSERT claimed."""

from __future__ import annotations

import pytest
from guestcomms import db

from tests.db.server import Database

# The operations manual's statement.
MANUAL = """
INSERT INTO communication_recovery_points (
  recovery_point_id, recovery_type, tables_included, point_in_time, consistent
) VALUES (
  'recovery_' || to_char(NOW(), 'YYYYMMDD_HH24MISS'), 'point_in_time',
  ARRAY['guest_communications', 'communication_recipients'], NOW() - interval '1 year', true
) RETURNING *
"""

CLAIM = """
INSERT INTO public.communication_recovery_points (recovery_point_id, {}) VALUES ('x', NULL)
"""


def test_a_claim_is_replaced_by_the_truth(database: Database) -> None:
    with database.connect("wedsync_ops") as connection:
        (point,) = db.rows(connection, MANUAL.encode())
        age = db.one_value(connection, "SELECT now() - %s < '1 minute'", (point["point_in_time"],))
        position = db.one_value(connection, "SELECT pg_current_wal_lsn() >= %s", (point["lsn"],))
    assert (point["consistent"], point["verified_at"]) == (False, None)
    assert (age, position, point["timeline"], point["created_by"]) == (True, True, 1, "wedsync_ops")


def test_the_point_is_in_the_log(database: Database) -> None:
    with database.connect("wedsync_ops") as connection:
        (point,) = db.rows(connection, MANUAL.encode())
    database.execute("SELECT pg_switch_wal()")
    with database.connect() as connection:
        segment = db.one_value(connection, "SELECT pg_walfile_name(%s)", (point["lsn"],))
    wal = f"/var/lib/postgresql/data/pg_wal/{segment}"
    dump = database.server.run(
        "/usr/lib/postgresql/17/bin/pg_waldump", "--rmgr=XLOG", wal, check=False
    )
    assert f"RESTORE_POINT {point['restore_point_name']}" in dump


def test_a_rolled_back_point_does_not_take_the_name(database: Database) -> None:
    insert = MANUAL.replace("'recovery_' || to_char(NOW(), 'YYYYMMDD_HH24MISS')", "'same'")
    with database.connect("wedsync_ops") as connection:
        with connection.transaction(force_rollback=True):
            (lost,) = db.rows(connection, insert.encode())
        (kept,) = db.rows(connection, insert.encode())
    assert lost["restore_point_name"] != kept["restore_point_name"]


@pytest.mark.parametrize("name", ["", "x" * 41, "a b", "'; --", "ä"])
def test_an_impossible_name_is_refused(database: Database, name: str) -> None:
    with database.connect("wedsync_ops") as connection, pytest.raises(db.sqlstates.CheckViolation):
        connection.execute(
            "INSERT INTO public.communication_recovery_points (recovery_point_id, recovery_type)"
            " VALUES (%s, 'point_in_time')",
            (name,),
        )


@pytest.mark.parametrize("column", ["lsn", "restore_point_name", "verified_at", "created_by"])
def test_facts_cannot_be_given(database: Database, column: str) -> None:
    with pytest.raises(db.sqlstates.InsufficientPrivilege):
        database.execute(CLAIM.format(column), "wedsync_ops")
