"""What former leaders left out of the archive is put there, with a real pgBackRest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.db.agent import agent, deliver, pgbackrest
from tests.db.server import Server, bootstrapped_server
from tests.waiting import wait_until

PLACE = "archive/wedsync/17-1"
SWITCH = "SELECT pg_logical_emit_message(true, 'x', ''), pg_switch_wal()"
LEFT = """
import pathlib, shutil, tempfile
from infra.agent import patroni, pgbackrest
from infra.agent.archive import Archive
pg_wal = pathlib.Path("/var/lib/postgresql/data/pg_wal")
finished = sorted(p.name for p in pg_wal.glob("0000000100000000*"))[:3]
with tempfile.TemporaryDirectory() as folder:
    wal = pathlib.Path(folder)
    status = wal / "archive_status"
    status.mkdir()
    for name in finished:
        shutil.copy(pg_wal / name, wal)
        (status / (name + "{0}")).touch()
    first, then = (f"{{n}}\\t0/{{finished[2][-2:]}}000028\\tno target\\n" for n in (1, 2))
    (wal / "00000002.history").write_text(first)
    (status / "00000002.history{0}").touch()
    (wal / "00000003.history").write_text(first + then)
    patroni.member = lambda name: patroni.Member(name, {1}, "x", "running", 3, False)
    archive = Archive(machine, wal, wal)
    archive.step()
    marked = sorted(note.stem for note in status.glob("*.ready"))
    if {1}:  # what PostgreSQL does
        for name in marked:
            pgbackrest.push(machine.stanza, wal / name)
    archive.step()
    print(json.dumps([finished, marked, sorted(note.name for note in status.iterdir())]))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has finished segments, and a repository that has none of them."""
    with bootstrapped_server({"archive_mode": "on", "archive_timeout": "0"}) as running:
        deliver(running, tmp_path_factory.mktemp("agent"))
        pgbackrest(running, "stanza-create")
        running.execute("ALTER SYSTEM SET archive_command = 'false'")
        running.execute("SELECT pg_reload_conf()")
        for _ in range(4):
            running.execute(SWITCH)
        yield running


def stored(server: Server) -> list[str]:
    listed = pgbackrest(server, "repo-ls", "--recurse", PLACE)
    return sorted(Path(one).name[:24] for one in listed.splitlines() if one.endswith(".zst"))


@pytest.mark.parametrize("leads", [True, False])
def test_what_former_leaders_left_is_archived(server: Server, leads: bool) -> None:
    """Up to where its timeline ended. Who leads took it for archived, and PostgreSQL sees to it."""
    for lost in (f"--recurse {PLACE}/0000000100000000", f"{PLACE}/00000002.history"):
        pgbackrest(server, "repo-rm", *lost.split())
    wait_until(lambda: stored(server) == [], 10)
    script = LEFT.format(".done" if leads else ".ready", leads)
    finished, marked, notes = agent(server, script)
    needed = [*finished[:2], "00000002.history"]
    assert marked == (needed if leads else [finished[2]])
    assert stored(server) == finished[:2]
    assert "00000002.history" in pgbackrest(server, "repo-ls", PLACE).split()
    last = f"{finished[2]}.{'done' if leads else 'ready'}"
    assert notes == [*(f"{name}.done" for name in needed[:2]), last, "00000002.history.done"]
