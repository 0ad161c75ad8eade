"""Rows of one table brought back from a real backup, while the database serves."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from guestcomms import db, migrate, tables
from guestcomms.cli.__main__ import main
from guestcomms.errors import GuestcommsError, RefusedError, UsageError
from guestcomms.stack import Outputs, Stack
from guestcomms.tables import apply, ledger
from guestcomms.tables.compare import Comparison
from guestcomms.tables.ledger import TableRestore

from tests.db import queue_calls, script
from tests.db.agent import agent, deliver, pgbackrest
from tests.db.repository import TAKE
from tests.db.server import NUMBERS, Database, Server, bootstrapped_server
from tests.db.tenant_rows import Organization, organization
from tests.db.test_agent_drills import COPIES, DRILL
from tests.db.test_backups import ask, row
from tests.waiting import wait_until

GUESTS = 2500  # more than two batches
NOBODY = ("app", "worker", "ops", "auditor", "report", "monitor")
ALL = tables.Wanted()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that archives, and soon."""
    with bootstrapped_server({"archive_mode": "on", "archive_timeout": "1s"}) as running:
        yield running


@pytest.fixture(scope="module")
def live(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database with rows in most tables and many guests, and a full backup from before them."""
    deliver(server, tmp_path_factory.mktemp("agent"))
    pgbackrest(server, "stanza-create")
    database = server.clone("template_full", f"test_{next(NUMBERS)}")
    script.run(database)
    database.execute(
        "INSERT INTO internal.communication_counter_deltas"
        " (organization_id, communication_id, status, delta)"
        " SELECT organization_id, id, 'queued', 1 FROM public.guest_communications"
    )
    backup_id = ask(database)
    agent(server, TAKE.format(database.name))
    assert row(database, backup_id)["status"] == "completed"
    return database


@pytest.fixture
def guests(live: Database) -> Organization:
    """An organization with many guests, half of them with an address."""
    made = organization(live, f"many {time.time_ns()}")
    given = [
        {"external_id": f"{n}", "name": f"Guest {n}"}
        | ({"email": f"g{n}@example.org"} if n % 2 else {})
        for n in range(GUESTS)
    ]
    made.call("SELECT count(*) FROM upsert_guests(%s, %s)", made.id, json.dumps(given))
    return made


def moment(database: Database) -> str:
    """Where the write-ahead log on disk ends: all that was committed lies before it."""
    return str(database.value("SELECT pg_current_wal_lsn()::text"))


def restore(database: Database, table: str, target: str, rows: str | None = None) -> TableRestore:
    """Ask for a table as it was, let the agent bring it, return the ledger's row."""
    with database.connect("wedsync_ops") as connection:
        drill_id = ledger.request(connection, table, target, inclusive=False, rows=rows)
    agent(database.server, DRILL.format(database.name))
    found = look(database, drill_id)
    assert found.carried_at is not None, (found.error, findings(database, drill_id))
    return found


def findings(database: Database, drill_id: str) -> object:
    query = f"SELECT findings FROM communication_restore_drills WHERE drill_id = '{drill_id}'"
    return database.value(query, "wedsync_ops")


def look(database: Database, drill_id: str) -> TableRestore:
    with database.connect("wedsync_ops") as connection:
        return ledger.find(connection, drill_id, "local")


def compare(
    database: Database, wanted: TableRestore, file: Path, how: tables.Wanted = ALL
) -> Comparison:
    with database.connect("wedsync_migrator") as connection:
        return tables.compare_and_write(connection, wanted, how, file, "local")


def copy_back(database: Database, wanted: TableRestore, file: Path) -> dict[str, int]:
    steps = tables.read(file, wanted, "local")
    with database.connect("wedsync_migrator") as connection:
        return apply.run(connection, wanted, steps, stack="local", report=lambda _: None)


def guests_of(organization: Organization) -> dict[str, Any]:
    with organization.database.connect() as connection:
        found = db.rows(
            connection,
            "SELECT external_id, to_jsonb(guest) - 'updated_at' AS guest"
            " FROM public.guests AS guest WHERE organization_id = %s AND external_id IS NOT NULL",
            (organization.id,),
        )
    return {one["external_id"]: one["guest"] for one in found}


def rights_on(database: Database, table: str) -> object:
    return database.value(f"SELECT relacl::text FROM pg_class WHERE oid = '{table}'::regclass")


def assert_nobody_reads(database: Database, was: TableRestore) -> None:
    """No login of a program or a person reads the rows; the agent can add none any more."""
    for login in (*(f"wedsync_{role}" for role in NOBODY), "guestcomms_agent"):
        with pytest.raises(db.sqlstates.InsufficientPrivilege):
            database.execute(f"SELECT FROM restored.{was.drill_id}", login)
    with pytest.raises(db.sqlstates.InsufficientPrivilege):
        database.execute(f"INSERT INTO restored.{was.drill_id} DEFAULT VALUES", "guestcomms_agent")


@contextmanager
def writing(guests: Organization) -> Iterator[list[str]]:
    """The application writes guests, one after the other; their external ids."""
    stop, written = threading.Event(), list[str]()

    def write() -> None:
        while not stop.is_set():
            key = f"during {len(written)}"
            given = json.dumps([{"external_id": key, "name": "During"}])
            guests.call("SELECT count(*) FROM upsert_guests(%s, %s)", guests.id, given)
            written.append(key)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield written
    finally:
        stop.set()
        writer.join()


def test_a_wrong_update_is_brought_back_while_a_writer_goes_on(
    live: Database, guests: Organization, tmp_path: Path
) -> None:
    before, then, rights = guests_of(guests), moment(live), rights_on(live, "public.guests")
    live.execute(
        f"UPDATE public.guests SET name = 'wrong' WHERE organization_id = '{guests.id}';"
        f" DELETE FROM public.guests WHERE organization_id = '{guests.id}'"
        " AND external_id IN ('10', '11', '12')"
    )
    ids = {key: value["guest_id"] for key, value in before.items()}
    guests.call("SELECT erase_guest(%s, %s)", guests.id, ids["21"])
    new = json.dumps([{"external_id": "new", "name": "New"}])
    guests.call("SELECT count(*) FROM upsert_guests(%s, %s)", guests.id, new)

    was = restore(live, "guests", f"lsn:{then}", f"organization_id = '{guests.id}'")
    assert (was.status, was.row_count, was.error) == ("completed", GUESTS, None)
    assert live.server.run("ls", COPIES) == ""
    assert_nobody_reads(live, was)

    file = tmp_path / "back.sql"
    found = compare(live, was, file)
    assert found.counts == {"missing": 3, "changed": GUESTS - 3 - 1}
    assert found.left_out == {"erased since": 1}
    assert len(found.samples["missing"]) == 3

    # One guest is renamed between comparison and copy-back, others are written during it.
    renamed = [{"external_id": "30", "name": "Renamed"}]
    guests.call("SELECT count(*) FROM upsert_guests(%s, %s)", guests.id, json.dumps(renamed))
    with writing(guests) as written:
        outcome = copy_back(live, was, file)
    assert outcome == {"applied": GUESTS - 2, "moved": 1}
    after = guests_of(guests)
    assert written
    assert after.keys() - before.keys() == {"new", *written}
    assert after["30"]["name"] == "Renamed"
    differ = {key for key in before if after.get(key) != before[key]}
    assert differ == {"21", "30"}
    assert rights_on(live, "public.guests") == rights
    again = look(live, was.drill_id)
    assert (again.state, again.applied_by) == ("copied back", "wedsync_migrator")

    # Comparing again finds what is left; a second copy-back does nothing.
    assert compare(live, was, file).counts == {"missing": 0, "changed": 1}
    assert live.value(f"SELECT drop_restored_table('{was.drill_id}')", "wedsync_ops") is True
    assert live.value(f"SELECT to_regclass('restored.{was.drill_id}')") is None
    assert live.value(f"SELECT to_regclass('restored.{was.drill_id}_difference')") is None
    with pytest.raises(RefusedError, match="were dropped"):
        compare(live, look(live, was.drill_id), file)


@pytest.mark.usefixtures("ctrl_c")
def test_a_copy_back_that_was_interrupted_goes_on_where_it_was(
    live: Database, guests: Organization, tmp_path: Path
) -> None:
    before, then = guests_of(guests), moment(live)
    live.execute(f"UPDATE public.guests SET phone = NULL, name = 'x'"
                 f" WHERE organization_id = '{guests.id}'")  # fmt: skip
    was = restore(live, "guests", f"lsn:{then}", f"organization_id = '{guests.id}'")
    file, rights = tmp_path / "back.sql", rights_on(live, "public.guests")
    how = tables.Wanted(columns=["name"])
    assert compare(live, was, file, how).counts["changed"] == GUESTS
    slow = file.with_suffix(".slow.sql")
    pause = "COMMIT;\n        PERFORM pg_catalog.pg_sleep(60);"
    slow.write_text(file.read_text().replace("COMMIT;", pause))
    steps = tables.read(slow, was, "local")

    def stop(said: str) -> None:
        if said == "changed rows":
            threading.Timer(1, os.kill, [os.getpid(), signal.SIGINT]).start()

    with live.connect("wedsync_migrator") as connection, pytest.raises(KeyboardInterrupt):
        apply.run(connection, was, steps, stack="local", report=stop)
    assert rights_on(live, "public.guests") == rights
    named = f"SELECT count(*) FROM guests WHERE organization_id = '{guests.id}' AND name <> 'x'"
    assert live.value(named) == 1000
    assert copy_back(live, was, file) == {"applied": GUESTS}
    assert guests_of(guests) == before


def fates(database: Database, message: str) -> dict[int, tuple[str, str | None]]:
    """State and name of each recipient of a message, by its place."""
    with database.connect() as connection:
        found = db.rows(
            connection,
            "SELECT id::text, status, recipient_name FROM communication_recipients"
            " WHERE communication_id = %s",
            [message],
        )
    return {int(one["id"][-6:], 16): (one["status"], one["recipient_name"]) for one in found}


@dataclass(frozen=True)
class Waited:
    """A message to five that waited `then`, and the places of those who had these fates since."""

    message: str
    then: str
    named: int
    """Sent, and the provider named it."""
    unnamed: int
    """Sent, which the recipient's row alone knew."""
    in_hand: int
    wrong: int
    lost: int

    @property
    def mine(self) -> str:
        """The rows to restore."""
        return f"communication_id = '{self.message}'"

    def ids(self, *places: int) -> str:
        """Recipients as a list in SQL."""
        return ", ".join(f"'{self.message[:30]}{place:06x}'" for place in places)


@pytest.fixture
def waited(live: Database) -> Waited:
    of = queue_calls.organization(live, f"waited {time.time_ns()}")
    live.execute("DELETE FROM communication_batch_queue")
    with live.connect() as connection:
        message = queue_calls.queue(connection, of, 5, chunk=1)
    then = moment(live)
    with live.connect("wedsync_worker") as worker:
        chunks = queue_calls.claim(worker, 3)
        names = ({"provider_message_id": message}, dict[str, str]())
        for chunk, name in zip(chunks, names, strict=False):
            queue_calls.complete(worker, chunk, chunk.results("sent", **name))
    taken = [int(chunk.recipient_ids[0][-6:], 16) for chunk in chunks]
    return Waited(message, then, *taken, *({*range(5)} - {*taken}))


def test_a_message_that_was_waiting_is_not_sent_again(
    live: Database, waited: Waited, tmp_path: Path
) -> None:
    live.execute(
        f"UPDATE communication_recipients SET recipient_name = 'x' WHERE {waited.mine};"
        " DELETE FROM communication_recipients WHERE id IN"
        f" ({waited.ids(waited.named, waited.unnamed, waited.lost)})"
    )
    was = restore(live, "communication_recipients", f"lsn:{waited.then}", waited.mine)
    file = tmp_path / "back.sql"
    found = compare(live, was, file)
    assert found.left_out == {"sent since": 1, "perhaps sent since": 1}
    copy_back(live, was, file)
    unknown, queued = ("unknown", None), ("queued", None)
    assert fates(live, waited.message) == {
        waited.unnamed: unknown,
        waited.in_hand: ("sending", "x"),
        waited.wrong: queued,
        waited.lost: unknown,
    }
    # Who insists gets them back, but not into the queue.
    compare(live, was, file, tables.Wanted(include_left_out=True))
    copy_back(live, was, file)
    assert fates(live, waited.message) == dict.fromkeys(range(5), unknown) | {waited.wrong: queued}
    assert sent_after_repair(live, waited) == [waited.wrong]


def test_a_dropped_table_sends_nothing_again(
    live: Database, waited: Waited, tmp_path: Path
) -> None:
    live.execute("DROP TABLE public.communication_recipients CASCADE")
    was = restore(live, "communication_recipients", f"lsn:{waited.then}")
    file = tmp_path / "back.sql"
    assert compare(live, was, file).left_out["sent since"] >= 1
    copy_back(live, was, file)
    migrate.apply(live.dsn())
    back = {*range(5)} - {waited.named}
    assert fates(live, waited.message) == dict.fromkeys(back, ("unknown", None))
    assert sent_after_repair(live, waited) == []


def sent_after_repair(database: Database, waited: Waited) -> list[int]:
    """Who a worker is given when integrity was repaired."""
    database.value("SELECT repair_integrity('queued_without_chunk')", "wedsync_ops")
    with database.connect("wedsync_worker") as worker:
        given = [one for chunk in queue_calls.claim(worker, 100) for one in chunk.recipient_ids]
    return sorted(int(one[-6:], 16) for one in given if one[:30] == waited.message[:30])


@pytest.mark.parametrize(
    "table",
    [
        "public.communication_recipients",  # partitioned, with statistics, foreign keys
        "public.guests",  # others refer to it
        "public.communication_security_audit",  # triggers, also on each partition
        "internal.communication_counter_deltas",  # an identity
    ],
)
def test_a_dropped_table_comes_back_as_it_was(live: Database, table: str, tmp_path: Path) -> None:
    """Partitions, indexes, policies, rights, rows: the dump is the same, line by line."""
    assert live.value(f"SELECT count(*) FROM {table}") != 0
    # One that waits comes back as unknown.
    live.execute(
        "UPDATE public.communication_recipients SET status = 'cancelled'"
        " WHERE status IN ('queued', 'sending')"
    )
    dumped, then = dump(live), moment(live)
    live.execute(f"DROP TABLE {table} CASCADE")
    was = restore(live, table, f"lsn:{then}")
    file = tmp_path / "back.sql"
    found = compare(live, was, file)
    assert not found.live.is_there
    assert found.counts["missing"] == was.row_count
    assert copy_back(live, was, file) == {"applied": was.row_count}
    migrate.apply(live.dsn())
    assert dump(live) == dumped


def dump(database: Database) -> list[str]:
    """Everything but what is written by the clock or about restores."""
    text = database.server.run(
        "pg_dump", "--restrict-key=tests", "--exclude-schema=cron", "--exclude-schema=restored",
        "--exclude-table-data=internal.applied_sql", "--exclude-table-data=internal.canaries*",
        "--exclude-table-data=public.communication_recovery_points",
        "--exclude-table-data=public.communication_restore_drills",
        "--exclude-table-data=public.communication_table_restores",
        "--inserts", database.name,
    )  # fmt: skip
    # Rows come in another order; a sequence goes on behind its highest row, not where it was.
    return sorted(
        line for line in text.splitlines() if "setval('internal.communication" not in line
    )


@pytest.mark.parametrize(
    ("table", "target", "rows", "complaint"),
    [
        ("communication_backups", "lsn:0/1", None, "cannot be restored"),
        ("guests_p", "lsn:FFFF/0", None, "has not come yet"),
        ("Guests; DROP", "lsn:0/1", None, "cannot be restored"),
        ("guests", "2026-01-31 12:00", None, "without its zone"),
        ("guests", "2026-01-31 12:00+00", "nobody = 1", 'column "nobody" does not exist'),
        ("guests", "2020-01-31 12:00+00", "name = ''", "before the first backup"),
        ("guests", "2120-01-31 12:00+00", None, "has not come yet"),
    ],
)
def test_what_cannot_be_restored_is_refused_at_once(
    live: Database, table: str, target: str, rows: str | None, complaint: str
) -> None:
    with (
        pytest.raises((UsageError, db.DatabaseError), match=complaint),
        live.connect("wedsync_ops") as connection,
    ):
        ledger.request(connection, table, target, inclusive=True, rows=rows)


@pytest.mark.parametrize(
    ("table", "rows", "complaint"),
    [
        ("not_there", None, "there was no table public.not_there then"),
        ("guests", "pg_read_file('/etc/passwd') <> ''", "permission denied"),
        (
            "guests",
            "true); COPY (SELECT) TO PROGRAM 'touch /tmp/escaped'; SELECT (1",
            "permission denied",
        ),
    ],
)
def test_a_condition_reaches_nothing_but_the_copy(
    live: Database, table: str, rows: str | None, complaint: str
) -> None:
    asked = "SELECT drill_id FROM request_table_restore(%s, 'lsn', %s, false, %s)"
    with live.connect("wedsync_ops") as connection:
        drill_id = db.one_value(connection, asked, (table, moment(live), rows))
    agent(live.server, DRILL.format(live.name))
    done = look(live, str(drill_id))
    assert done.status == "failed"
    assert complaint in str(done.error)
    assert "escaped" not in live.server.run("ls", "/tmp")
    with (
        pytest.raises(GuestcommsError, match="are not there"),
        live.connect("wedsync_migrator") as connection,
    ):
        tables.compare_and_write(connection, done, ALL, Path("/dev/null"), "local")


class Local(Stack):
    """A stack whose database is the test's: anybody may come in."""

    def dsn(self, role: str, **_how: object) -> str:
        name, port = self.outputs.database, self.outputs.endpoints["read_write"]
        return f"postgresql://wedsync_{role}@{port.host}:{port.port}/{name}"


def test_the_command_does_it_all(
    live: Database,
    guests: Organization,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Asked, carried over, compared, read, copied back, undone by its recovery point, dropped."""
    endpoint = {"host": live.server.host, "port": live.server.port}
    outputs = Outputs.model_validate(
        {"stack": "local", "place": "local", "clone": "0", "database": live.name, "spec": {},
         "endpoints": {"read_write": endpoint}, "ca_certificate": "", "machines": {}, "logins": {}}
    )  # fmt: skip
    monkeypatch.setattr(Stack, "load", lambda _: Local("local", outputs, {}))
    then = moment(live)
    live.execute(f"UPDATE public.guests SET name = 'x' WHERE organization_id = '{guests.id}'")
    waiting = "SELECT count(*) FROM communication_restore_drills WHERE status = 'requested'"

    def serve() -> None:
        wait_until(lambda: live.value(waiting, "wedsync_ops") == 1)
        agent(live.server, DRILL.format(live.name))

    server = threading.Thread(target=serve)
    server.start()
    file = tmp_path / "back.sql"
    only = ["--rows", f"organization_id = '{guests.id}'", "--output", str(file), "--json"]
    assert main(["restore", "table", "guests", "--to", f"lsn:{then}", *only]) == 0
    server.join()
    found = json.loads(capsys.readouterr().out)
    assert (found["changed"], found["missing"], found["table"]) == (GUESTS, 0, "public.guests")
    drill_id = found["drill_id"]
    assert main(["restore", "table", "--compare", drill_id, "--output", str(file)]) == 0
    assert f"restore table --apply {drill_id}" in " ".join(capsys.readouterr().out.split())
    apply_it = ["restore", "table", "--apply", drill_id, "--output", str(file)]
    assert main(apply_it) == 5  # nobody is there to ask
    assert main([*apply_it, "--yes", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["outcome"] == {"applied": GUESTS}
    point = "SELECT count(*) FROM communication_recovery_points WHERE recovery_point_id = '{}'"
    assert live.value(point.format(done["recovery_point"]), "wedsync_ops") == 1
    assert main(["restore", "tables"]) == 0
    assert "copied back" in capsys.readouterr().out
    assert main(["restore", "table", "--drop", drill_id, "--yes"]) == 0
    assert main(apply_it) == 5
    assert "were dropped" in capsys.readouterr().err
    assert main(["restore", "table", "guests", "--to", "lsn:0/1", "--drop", drill_id]) == 2
