"""Which segments may be left out of the archive: those past the end of their timeline, no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.agent import paths
from infra.agent.archive import Archive, is_needed, is_superseded, timeline_ends
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.machine import postgres

HISTORY = """1\t0/9A000140\tno recovery target specified

2\t1/3000000\tno recovery target specified
"""
MACHINE = Machine("pg-1", "database", "wedsync", "wedsync", "wedsync", "new", (), (), ())


BACK = f"""{HISTORY}
3\t0/778D5D0\tbefore 2026-11-23 22:50:04.147647+00
"""


@pytest.mark.parametrize(
    ("history", "segments"),
    [(HISTORY, {1: 0x9A, 2: 0x103}), (BACK, {1: 7, 2: 7, 3: 7})],
    ids=["onwards", "back to a moment before all switches"],
)
def test_the_ends_of_timelines(history: str, segments: dict[int, int]) -> None:
    ends = timeline_ends(history)
    assert {timeline: segment for timeline, (segment, _) in ends.items()} == segments


@pytest.mark.parametrize(
    ("segment", "superseded"),
    [
        ("00000001000000000000009A", True),
        ("00000001000000000000009B", True),
        ("000000010000000100000000", True),
        ("000000010000000000000099", False),
        ("000000020000000100000003", True),
        ("000000020000000100000002", False),
        ("000000030000000200000000", False),  # the present timeline
        ("000000040000000000000001", False),  # no part of this history
        ("00000002.history", False),
        ("00000001000000000000009A.partial", False),
    ],
)
def test_what_is_superseded(segment: str, superseded: bool) -> None:
    assert is_superseded(segment, timeline_ends(HISTORY)) is superseded


@pytest.mark.parametrize(
    ("segment", "needed"),
    [
        ("000000010000000000000099", True),
        ("00000001000000000000009A", False),
        ("000000020000000100000002", True),
        ("000000020000000100000003", False),
        ("000000030000000100000002", False),  # the present timeline: PostgreSQL's own work
        ("000000040000000000000001", False),  # no part of this history
        ("00000002.history", True),
        ("00000003.history", False),
        ("000000010000000000000099.partial", False),
    ],
)
def test_what_of_former_timelines_is_needed(segment: str, needed: bool) -> None:
    assert is_needed(segment, timeline_ends(HISTORY)) is needed


def test_only_refused_duplicates_of_the_past_are_marked(tmp_path: Path) -> None:
    wal, out = tmp_path / "pg_wal", tmp_path / "spool" / "archive" / "wedsync" / "out"
    (wal / "archive_status").mkdir(parents=True)
    out.mkdir(parents=True)
    (wal / "00000003.history").write_text(HISTORY)
    duplicate, unreachable, needed = (f"0000000100000000000000{n}" for n in ("9A", "9B", "98"))
    for segment, code in ((duplicate, 45), (unreachable, 49), (needed, 45)):
        (wal / "archive_status" / f"{segment}.ready").touch()
        (out / f"{segment}.error").write_text(f"{code}\nwhat pgBackRest said")
    archive = Archive(MACHINE, wal, tmp_path / "spool")
    with pytest.raises(AgentError, match=r"00000002\.history is not there yet"):
        archive.release(2)
    assert archive.release(3) == [duplicate]
    assert archive.release(3) == []
    assert sorted(path.name for path in (wal / "archive_status").iterdir()) == [
        f"{needed}.ready", f"{duplicate}.done", f"{unreachable}.ready",
    ]  # fmt: skip


def test_the_agent_looks_where_the_machines_keep_their_wal() -> None:
    assert str(paths.WAL) == f"{postgres.DATA_DIRECTORY}/pg_wal"
    assert str(paths.SPOOL) == postgres.SPOOL_DIRECTORY
