"""The agent's restore drills with a real pgBackRest: what they prove, and what they find broken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from guestcomms import db

from tests.db import script
from tests.db.agent import ENVIRONMENT, REPOSITORY, agent, deliver, pgbackrest
from tests.db.repository import TAKE
from tests.db.server import NUMBERS, Database, Server, bootstrapped_server
from tests.db.test_backups import ask, row
from tests.waiting import wait_until

COPIES = "/var/lib/postgresql/drill"
DRILL = """
import dataclasses, threading
from infra.agent import database
from infra.agent.deadline import Connection
from infra.agent.drills import Drills
database.primary = lambda machines, name: (
    "host=/run/postgresql user=guestcomms_agent dbname=" + name
)
machine = dataclasses.replace(machine, name="drill-1", database="{}")
with Connection.connect(database.primary((), machine.database), autocommit=True) as connection:
    drills = Drills(machine, lambda: connection, threading.Event())
    drills.step()
    drills.stop()
print("null")
"""
CHECKS = ["target", "canaries", "content", "cut off", "pages and indexes"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that archives, and soon."""
    with bootstrapped_server({"archive_mode": "on", "archive_timeout": "1s"}) as running:
        yield running


@pytest.fixture(scope="module")
def live(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database with rows in most tables, and a full backup of it."""
    deliver(server, tmp_path_factory.mktemp("agent"))
    pgbackrest(server, "stanza-create")
    database = server.clone("template_full", f"test_{next(NUMBERS)}")
    script.run(database)
    backup_id = ask(database)
    agent(server, TAKE.format(database.name))
    assert row(database, backup_id)["status"] == "completed"
    return database


def drill(database: Database, *target: object, keep: bool = False) -> dict[str, Any]:
    """Ask for a drill, let the agent do it, return its row."""
    with database.connect("wedsync_ops") as connection:
        asked = "SELECT drill_id FROM request_restore_drill(%s, %s, %s, %s)"
        drill_id = db.one_value(connection, asked, (*(target or ("point", None, True)), keep))
    agent(database.server, DRILL.format(database.name))
    return found(database, str(drill_id))


def found(database: Database, drill_id: str) -> dict[str, Any]:
    with database.connect("wedsync_ops") as connection:
        query = "SELECT * FROM communication_restore_drills WHERE drill_id = %s"
        return db.rows(connection, query, (drill_id,))[0]


def names_in_copy(database: Database, drill_id: str) -> str:
    """The organizations that a kept copy has."""
    home = f"{COPIES}/{drill_id}"
    control = "/usr/lib/postgresql/17/bin/pg_ctl"
    options = f"-c listen_addresses= -c unix_socket_directories={home} -c archive_mode=off"
    options += " -c shared_preload_libraries="
    log = f"{home}/again"
    data = f"{home}/data"
    database.server.run(control, "-w", "-D", data, "-l", log, "-o", options, "start")
    try:
        query = "SELECT name FROM organizations"
        return database.server.run("psql", "-h", home, "-d", database.name, "-Atc", query)
    finally:
        database.server.run(control, "-w", "-D", data, "-m", "immediate", "stop")


def test_a_drill_proves_its_backup_and_its_point(live: Database) -> None:
    done = drill(live)
    assert [one["check"] for one in done["findings"] if one["passed"]] == CHECKS
    assert (done["status"], done["verdict"], done["node"]) == ("completed", "proven", "drill-1")
    seconds = ("archived_seconds", "restore_seconds", "recovery_seconds", "total_seconds")
    assert all(done[name] > 0 for name in seconds)
    for what, told in (
        ("restore_drill", done["evidence"]),
        ("backup", row(live, done["backup_id"])["evidence"]),
    ):
        assert told["what"] == what
        assert told["verdict"] in ("proven", "sound")
        assert told["versions"].keys() == {"agent", "pgbackrest", "postgresql"}
        assert len(told["versions"]["agent"]) == 12
        assert told["started_at"] < told["ended_at"]
        assert told["figures"]
        assert told["findings"] == []
    assert row(live, done["backup_id"])["verified_by"] == done["drill_id"]
    with live.connect("wedsync_ops") as connection:
        (point,) = db.rows(
            connection,
            "SELECT * FROM communication_recovery_points WHERE recovery_point_id = %s",
            (done["recovery_point_id"],),
        )
    assert (point["consistent"], point["lsn"]) == (True, done["reached_lsn"])
    assert live.server.run("ls", COPIES) == ""
    assert "00000002.history" not in live.server.run(
        "ls", "-R", REPOSITORY
    )  # a copy archives nothing


def write(database: Database, name: str) -> tuple[str, str, str]:
    """Commit an organization; return its transaction, and position and time just after it."""
    insert = (
        f"SELECT create_organization(gen_random_uuid(), '{name}'), pg_current_xact_id()::text AS x"
    )
    with database.connect() as connection:
        (made,) = db.rows(connection, insert.encode())
        after = "SELECT pg_current_wal_insert_lsn()::text AS lsn, clock_timestamp()::text AS now"
        (place,) = db.rows(connection, after.encode())
    return made["x"], place["lsn"], place["now"]


@pytest.mark.parametrize(
    ("kind", "inclusive"),
    [
        ("name", True),
        ("time", True),
        ("time", False),
        ("lsn", True),
        ("lsn", False),
        ("xid", True),
        ("xid", False),
    ],
)
def test_a_target_between_two_commits(live: Database, kind: str, inclusive: bool) -> None:
    unique = f"{kind} {inclusive} {time.time_ns()}"
    transaction, lsn, now = write(live, f"first {unique}")
    live.execute(
        "INSERT INTO communication_recovery_points (recovery_point_id, recovery_type)"
        f" VALUES ('by_hand_{transaction}', 'point_in_time')",
        "wedsync_ops",
    )
    write(live, f"second {unique}")
    targets = {"name": f"by_hand_{transaction}", "time": now, "lsn": lsn, "xid": transaction}
    done = drill(live, kind, targets[kind], inclusive, keep=True)
    assert (done["verdict"], done["error"]) == ("proven", None), done["findings"]
    names = names_in_copy(live, done["drill_id"])
    assert (f"first {unique}" in names) == (kind != "xid" or inclusive)
    assert f"second {unique}" not in names
    if kind == "name":
        consistent = "SELECT consistent FROM communication_recovery_points"
        by_hand = f"{consistent} WHERE recovery_point_id = '{targets['name']}'"
        assert live.value(by_hand, "wedsync_ops") is True
    assert live.value(f"SELECT release_restore('{done['drill_id']}')", "wedsync_ops") is True
    agent(live.server, DRILL.format(live.name))
    assert live.server.run("ls", COPIES) == ""


def test_a_hole_in_the_archive_refutes_the_backup(live: Database) -> None:
    """pgBackRest's restore ends with 0, and PostgreSQL starts: only the target is not reached."""
    write(live, "in the hole")  # a segment without anything in it is not switched
    segment = str(live.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
    live.execute("SELECT pg_switch_wal()")
    listed = f"find {REPOSITORY} -name '{segment}-*'"
    wait_until(lambda: live.server.run("sh", "-c", listed) != "")
    file = live.server.run("sh", "-c", listed).strip()
    live.server.run("mv", file, "/tmp/hidden")
    try:
        done = drill(live)
    finally:
        live.server.run("mv", "/tmp/hidden", file)
    assert (done["status"], done["verdict"]) == ("completed", "refuted")
    (finding,) = done["findings"]
    assert (finding["check"], finding["passed"]) == ("recovery", False)
    assert "recovery ended before configured recovery target was reached" in finding["detail"]


def test_a_store_that_is_away_during_recovery_refutes_nothing(live: Database) -> None:
    """PostgreSQL takes that for the end of the log, as it does a hole; another attempt follows."""
    drill_id, archive = asked(live), f"{REPOSITORY}/archive/wedsync"
    away = DRILL.replace(
        "drills = ",
        "from infra.agent.copies import Copy\n"
        "    start = Copy.start\n"
        "    def go_away(self):\n"
        f"        for info in Path('{archive}').glob('archive.info*'):\n"
        "            info.chmod(0)\n"
        "        start(self)\n"
        "    Copy.start = go_away\n"
        "    drills = ",
    )
    try:
        agent(live.server, away.format(live.name))
    finally:
        live.server.run("sh", "-c", f"chmod 640 {archive}/archive.info*")
    left = found(live, drill_id)
    assert (left["status"], left["verdict"], left["attempts"]) == ("running", None, 1)
    assert left["error"].startswith("the store gave the copy no WAL: FileOpenError")
    live.execute(
        "UPDATE public.communication_restore_drills SET lease_until = now()"
        " WHERE status = 'running'"
    )
    agent(live.server, DRILL.format(live.name))
    assert found(live, drill_id)["verdict"] == "proven"


def test_a_drill_that_takes_too_long_is_given_up(live: Database) -> None:
    drill_id = asked(live)
    hurry = DRILL.replace(
        "drills = ",
        "from infra.agent import drills as all\n"
        "    all.PATIENCE, all.SLOWEST = 0.01, 1e15\n"
        "    drills = ",
    )
    agent(live.server, hurry.format(live.name))
    done = found(live, drill_id)
    assert (done["status"], done["verdict"], done["attempts"]) == ("failed", None, 1)
    assert "not done within" in done["error"]
    assert live.server.run("ls", COPIES) == ""


def test_a_damaged_backup_is_refuted(live: Database) -> None:
    """The bundles of every backup are written over, whichever backup the drill chooses."""
    whole, stored = "/tmp/whole", f"{REPOSITORY}/backup"
    live.server.run("cp", "-a", stored, whole)
    files = f"find {stored} -path '*/bundle/*' -type f"
    assert live.server.run("sh", "-c", files).strip()
    live.server.run("sh", "-c", f"for file in $({files}); do echo damaged > $file; done")
    try:
        done = drill(live)
    finally:
        live.server.run("rm", "-r", stored)
        live.server.run("mv", whole, stored)
    assert done["verdict"] == "refuted"
    assert done["findings"][-1]["check"] == "restore"


def test_what_the_copy_lacks_is_named(live: Database) -> None:
    """A row that the expectation has and the copy has not: as if the restore had lost it."""
    lose = DRILL.replace(
        "drills = ",
        "from infra.agent import contents\n"
        "    read = contents.read\n"
        "    contents.read = lambda session, report: {{\n"
        "        key: (rows + (key[0] == 'public.guests' and 'drill' not in session.info.host),"
        " digest)\n"
        "        for key, (rows, digest) in read(session, report).items()\n"
        "    }}\n"
        "    drills = ",
    )
    asked = live.value("SELECT drill_id FROM request_restore_drill()", "wedsync_ops")
    agent(live.server, lose.format(live.name))
    done = found(live, str(asked))
    assert done["verdict"] == "refuted"
    (finding,) = (one for one in done["findings"] if not one["passed"])
    assert finding["check"] == "content"
    assert "guests range" in finding["detail"]


LOST = "/var/lib/postgresql/lost"
INITIALIZE = """
import dataclasses, os
from infra.agent.errors import AgentError
from infra.agent.initialize import initialize
os.environ["PGBACKREST_REPO1_CIPHER_PASS"] = {cipher!r}
try:
    initialize(dataclasses.replace(machine, bootstrap="restore"), "wedsync", Path({folder!r}))
except AgentError as error:
    print(json.dumps(str(error)))
else:
    print("null")
"""
KEY = "/etc/guestcomms/keys/key_encryption_key"


def test_backups_are_readable_with_the_keys_from_escrow_only(live: Database) -> None:
    """Cipher and key-encryption key are lost: as docs/how-to/recover-lost-keys.md says."""
    server, name = live.server, live.name
    without = agent(server, INITIALIZE.format(cipher="another", folder=LOST))
    assert "encrypted with another cipher passphrase than this stack has" in without
    assert "nobody can read them without it" in without
    assert server.run("ls", LOST, check=False) == "" or "No such file" in server.run(
        "ls", LOST, check=False
    )
    assert agent(server, INITIALIZE.format(cipher="of-tests-only", folder=LOST)) is None
    status = "SELECT DISTINCT state, finding FROM encryption_status() ORDER BY 1"
    server.run("cp", "-p", KEY, f"{KEY}.escrow")
    with running(server, LOST) as psql:
        assert psql(name, status) == "ok|"
        server.run("sh", "-c", f"chmod u+w {KEY}; head -c 32 /dev/urandom | base64 > {KEY}")
        try:
            assert "failed|" in psql(name, status)
        finally:
            server.run("mv", "-f", f"{KEY}.escrow", KEY)
        assert psql(name, status) == "ok|"
    server.run("rm", "-r", LOST)


@contextmanager
def running(
    server: Server, data: str, *settings: str, stops: bool = True
) -> Iterator[Callable[[str, str], str]]:
    """A second PostgreSQL beside the server, on its own socket; how to ask it."""
    options = ["port=5433", "archive_mode=off", "shared_preload_libraries=", *settings]
    control = ("/usr/lib/postgresql/17/bin/pg_ctl", "-w", "-D", data, "-l", "/tmp/second.log")
    given = " ".join(f'-c "{one}"' for one in options)
    server.run("env", *ENVIRONMENT, *control, "-o", given, "start")
    try:
        yield lambda name, query: server.run(
            "psql", "-p", "5433", "-d", name, "-v", "ON_ERROR_STOP=1", "-Atqc", query
        ).strip()
    finally:
        if stops:
            server.run(*control, "-m", "immediate", "stop")


def asked(database: Database) -> str:
    return str(database.value("SELECT drill_id FROM request_restore_drill()", "wedsync_ops"))


def test_a_database_that_does_not_fit_is_not_begun(live: Database) -> None:
    drill_id = asked(live)
    small = DRILL.replace(
        "drills = ", "from infra.agent import copies\n    copies.SPARE_BYTES = 2**60\n    drills = "
    )
    agent(live.server, small.format(live.name))
    done = found(live, drill_id)
    assert (done["status"], done["verdict"], done["attempts"]) == ("failed", None, 1)
    assert "does not fit into the" in done["error"]
    assert "give the drill machine a larger disk" in done["error"]
    assert live.server.run("ls", COPIES) == ""


def test_what_lies_where_a_copy_belongs_is_no_obstacle(live: Database) -> None:
    """A directory of an attempt that died, with a server that still runs in it."""
    first = drill(live, "lsn", live.value("SELECT pg_current_wal_lsn()::text"), False, keep=True)
    home = f"{COPIES}/{first['drill_id']}"
    drill_id = asked(live)
    live.server.run("mv", home, f"{COPIES}/{drill_id}")
    live.execute("UPDATE public.communication_restore_drills SET keep = false")
    with running(live.server, f"{COPIES}/{drill_id}/data", stops=False):
        agent(live.server, DRILL.format(live.name))
    assert found(live, drill_id)["verdict"] == "proven"
    assert live.server.run("ls", COPIES) == ""


def test_an_agent_that_is_stopped_leaves_nothing_and_another_attempt_follows(
    live: Database,
) -> None:
    """Before and after the copy is open: systemd's stop, a reboot."""
    drill_id = asked(live)
    for step in ("restoring", "checking"):
        stopped = DRILL.replace(
            "drills = ",
            "from infra.agent.drill_ledger import Attempt\n"
            "    beat = Attempt.beat\n"
            "    def until(self, what=None):\n"
            f"        self._stop.set() if (what or '').startswith('{step}') else None\n"
            "        beat(self, what)\n"
            "    Attempt.beat = until\n"
            "    drills = ",
        )
        agent(live.server, stopped.format(live.name))
        left = found(live, drill_id)
        assert (left["status"], left["error"]) == ("running", None), step
        assert live.server.run("ls", COPIES) == ""
        live.execute(
            "UPDATE public.communication_restore_drills SET lease_until = now()"
            " WHERE status = 'running'"
        )
    agent(live.server, DRILL.format(live.name))
    done = found(live, drill_id)
    assert (done["verdict"], done["attempts"]) == ("proven", 3)


DOCUMENT = """
import dataclasses
from infra.agent import database, restore_document
database.local_agent = lambda name: "host=/run/postgresql user=guestcomms_agent dbname=" + name
machine = dataclasses.replace(machine, database="{}")
stages = [dict(name="Stop", seconds=1.5, outcome="interrupted"),
          dict(name="Stop", seconds=60, outcome="done")]
said = dict(verdict="{}", restore_id="{}", label="20260102-030405F",
            target=dict(type="time", value="2026-01-02 03:04:05+00", inclusive=False),
            started_at="2026-01-02T03:04:05+00:00", stages=stages, machines=["pg-1"], facts=None)
print(json.dumps(restore_document.write(machine, said["restore_id"], said)))
"""


def test_a_restore_of_the_cluster_leaves_its_document(live: Database) -> None:
    live.execute("SELECT freeze_sending('restored')", "wedsync_ops")
    record = (
        '{"restore_id": "restore_20260102_030405", "target_type": "time", "inclusive": true,'
        ' "target": "2026-01-02 03:04:05+00", "label": "20260102-030405F",'
        ' "reached_lsn": "0/2000158", "abandoned_timeline": 1,'
        ' "abandoned_at": "2026-01-02 04:04:05+00"}'
    )
    live.execute(f"SELECT internal.record_cluster_restore('{record}')", "guestcomms_agent")
    agent(live.server, DOCUMENT.format(live.name, "restored", "restore_20260102_030405"))
    kept: Any = live.value(
        "SELECT evidence FROM communication_cluster_restores"
        " WHERE restore_id = 'restore_20260102_030405'", "wedsync_ops",
    )  # fmt: skip
    assert (kept["what"], kept["verdict"], kept["node"]) == ("cluster_restore", "restored", "pg-1")
    assert kept["versions"].keys() == {"agent", "pgbackrest", "postgresql"}
    assert kept["figures"] == {"stages_seconds": 61.5}
    assert [stage["outcome"] for stage in kept["stages"]] == ["interrupted", "done"]


def test_a_restore_of_the_cluster_that_was_undone_leaves_its_document_too(live: Database) -> None:
    for _ in range(2):  # what was undone without a machine is undone again with it
        agent(live.server, DOCUMENT.format(live.name, "undone", "restore_20260102_040405"))
    undone = (
        b"SELECT target_type, target, inclusive, abandoned_at, undone_at > now(), evidence"
        b" FROM communication_cluster_restores WHERE restore_id = 'restore_20260102_040405'"
    )
    with live.connect("wedsync_ops") as ops:
        [(*what, late, kept)] = ops.execute(undone).fetchall()
    assert what == ["time", "2026-01-02 03:04:05+00", False, None]
    assert late is False
    assert (kept["verdict"], kept["figures"]) == ("undone", {"stages_seconds": 61.5})
