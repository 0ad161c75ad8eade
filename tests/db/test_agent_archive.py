"""What former leaders left out of the archive is put there, with a real pgBackRest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.db.agent import agent, deliver, pgbackrest
from tests.db.server import Server, bootstrapped_server
from tests.waiting import wait_until

SWITCH = "SELECT pg_logical_emit_message(true, 'x', ''), pg_switch_wal()"
LEFT = """
import pathlib, shutil, tempfile
from infra.agent import patroni
from infra.agent.archive import Archive
pg_wal = pathlib.Path("/var/lib/postgresql/data/pg_wal")
finished = sorted(p.name for p in pg_wal.glob("0000000100000000*"))[:3]
with tempfile.TemporaryDirectory() as folder:
    wal = pathlib.Path(folder)
    status = wal / "archive_status"
    status.mkdir()
    for name in finished:
        shutil.copy(pg_wal / name, wal)
        (status / (name + "{}")).touch()
    (wal / "00000002.history").write_text("1\\t0/" + finished[2][-2:] + "000028\\tno target\\n")
    patroni.member = lambda name: patroni.Member(name, {}, "x", "running", 2, False)
    archive = Archive(machine, wal, wal)
    archive.step()
    archive.step()
    print(json.dumps([finished, sorted(note.name for note in status.iterdir())]))
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
    listed = pgbackrest(server, "repo-ls", "--recurse", "archive/wedsync")
    return sorted(Path(one).name[:24] for one in listed.splitlines() if one.endswith(".zst"))


@pytest.mark.parametrize("leads", [True, False])
def test_what_former_leaders_left_is_archived(server: Server, leads: bool) -> None:
    """Up to where its timeline ended. Who leads took them for archived, when it did not."""
    pgbackrest(server, "repo-rm", "--recurse", "archive/wedsync/17-1/0000000100000000")
    wait_until(lambda: stored(server) == [], 10)
    script = LEFT.format(".done" if leads else ".ready", leads)
    finished, notes = agent(server, script)
    assert stored(server) == finished[:2]
    last = f"{finished[2]}.{'done' if leads else 'ready'}"
    assert notes == [f"{finished[0]}.done", f"{finished[1]}.done", last]
