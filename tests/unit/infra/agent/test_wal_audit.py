"""What the audit of the archive calls a hole, a wrong file, an abandoned timeline, a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.agent import pgbackrest, wal_audit
from infra.agent.pgbackrest import Backup, Stanza, Stored
from infra.agent.wal_audit import (
    Audit,
    Position,
    Segment,
    audit,
    newest_timeline,
    stretches,
    without_files,
)

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
WHOLE = 16 * 1024 * 1024
HISTORY_3 = (
    "1\t0/5000100\tno recovery target specified\n2\t0/8000000\tno recovery target specified\n"
)
"""Timeline 1 ended in segment 5, timeline 2 with the last byte of segment 7."""


def at(number: int) -> datetime:
    return BEGAN + timedelta(minutes=number)


def archive(*segments: tuple[int, int], suffix: str = ".zst", size: int = 900) -> dict[str, Stored]:
    return {path(*one, suffix=suffix): Stored(size, at(one[1])) for one in segments}


def path(timeline: int, number: int, suffix: str = ".zst", content: str = "a") -> str:
    name = str(Segment(timeline, number))
    return f"{name[:16]}/{name}-{content * 40}{suffix}"


def backup(timeline: int, start: int, stop: int, kind: str = "full") -> Backup:
    label = f"20261101-{start:06d}F" + ("" if kind == "full" else f"_20261101-{stop:06d}I")
    return Backup(
        label=label, type=kind, backup_id=None, page_errors=False, started_at=at(start),
        completed_at=at(stop), size=1000, stored=100, archive_id="17-1",
        lsn_start=f"0/{start:X}000028", lsn_stop=f"0/{stop:X}000050",
        wal_start=str(Segment(timeline, start)), wal_stop=str(Segment(timeline, stop)),
    )  # fmt: skip


def look(
    files: Mapping[str, Stored],
    *backups: Backup,
    writes: Segment | None = None,
    history: str = "",
    encrypted: bool = False,
    **where: object,
) -> Audit:
    said = Stanza(0, "ok", backups, "17-1", encrypted)
    position = Position(writes, **where) if writes else None  # type: ignore[arg-type]
    timeline = writes.timeline if writes else newest_timeline(files)
    return audit(said, files, timeline, history, position)


def kinds(made: Audit) -> list[str]:
    return [finding.kind for finding in made.findings]


ONE_LINE = [(1, number) for number in range(2, 10)]


def test_a_whole_archive_is_restorable_from_the_backup_to_now() -> None:
    made = look(archive(*ONE_LINE), backup(1, 2, 3), writes=Segment(1, 10))
    assert made.findings == []
    assert [(one.since, one.to) for one in made.windows] == [(at(3), None)]
    assert made.figures["segments_needed"] == 8
    assert made.figures["latest_restorable"] == 1


def test_a_backup_whose_files_are_gone_restores_nothing() -> None:
    """Neither does one that needs them: an older one has to do, if there is one."""
    full, newer = backup(1, 2, 3), backup(1, 4, 5)
    increment = replace(backup(1, 6, 7, "incr"), references=(newer.label,))
    said = Stanza(0, "ok", (full, newer, increment), "17-1")
    stored = archive(*ONE_LINE)
    made = audit(said, stored, 1, "", Position(Segment(1, 10)), gone={newer.label})
    assert [one.facts["label"] for one in made.findings] == [newer.label, increment.label]
    assert kinds(made) == ["backup_missing"] * 2
    assert (made.figures["latest_restorable"], made.figures["backups"]) == (1, 1)
    assert [(one.since, one.to) for one in made.windows] == [(at(3), None)]
    assert made.unusable == [newer, increment]
    made = audit(said, stored, 1, "", Position(Segment(1, 10)), gone={full.label, newer.label})
    assert (made.figures["latest_restorable"], made.windows) == (0, [])
    assert "no_full_backup" in kinds(made)


@pytest.mark.parametrize(
    ("names", "is_gone"),
    [
        (["backup.manifest", "backup.manifest.copy", "bundle/1"], False),
        (["backup.manifest.copy", "pg_data/PG_VERSION.zst"], False),
        (["bundle/1"], True),
        (["backup.manifest"], True),
        ([], True),
    ],
)
def test_a_backup_is_its_manifest_and_its_files(names: list[str], is_gone: bool) -> None:
    one = backup(1, 2, 3)
    files = [
        "backup.info",
        "20261101-000009F/backup.manifest",
        *(f"{one.label}/{n}" for n in names),
    ]
    assert without_files([one], files) == ({one.label} if is_gone else set())


def test_a_hole_is_named_and_ends_what_can_be_restored() -> None:
    kept = [one for one in ONE_LINE if one[1] not in (5, 6)]
    made = look(archive(*kept), backup(1, 2, 3), writes=Segment(1, 10))
    (hole,) = made.findings
    assert (hole.kind, hole.facts["first"], hole.facts["last"], hole.facts["is_past"]) == (
        "gap", "000000010000000000000005", "000000010000000000000006", False,
    )  # fmt: skip
    assert [(one.since, one.to) for one in made.windows] == [(at(3), at(4))]
    assert made.figures["latest_restorable"] == 0
    assert (made.figures["gaps"], made.figures["gaps_since_backup"]) == (1, 1)


def test_a_later_backup_starts_anew_after_a_hole() -> None:
    kept = [one for one in ONE_LINE if one[1] != 5]
    made = look(archive(*kept), backup(1, 2, 3), backup(1, 7, 8, "incr"), writes=Segment(1, 10))
    assert kinds(made) == ["gap"]
    assert [(one.since, one.to) for one in made.windows] == [(at(3), at(4)), (at(8), None)]
    assert made.figures["latest_restorable"] == 1
    assert (made.figures["gaps"], made.figures["gaps_since_backup"]) == (1, 0)


def test_a_backup_without_its_own_wal_is_no_backup() -> None:
    kept = [one for one in ONE_LINE if one[1] != 8]
    made = look(archive(*kept), backup(1, 2, 3), backup(1, 7, 8, "incr"), writes=Segment(1, 10))
    assert kinds(made) == ["gap", "backup_without_wal"]
    assert [(one.since, one.to) for one in made.windows] == [(at(3), at(7))]
    assert [one.wal_stop for one in made.unusable] == [str(Segment(1, 8))]


def test_what_waits_is_no_hole_and_what_waits_long_is_stalled() -> None:
    waiting = frozenset({Segment(1, 8), Segment(1, 9)})
    soon = look(
        archive(*ONE_LINE[:-2]), backup(1, 2, 3), writes=Segment(1, 10), waiting=waiting,
        waits_seconds=20.0,
    )  # fmt: skip
    assert (soon.findings, soon.figures["segments_waiting"]) == ([], 2)
    late = look(
        archive(*ONE_LINE[:-2]), backup(1, 2, 3), writes=Segment(1, 10), waiting=waiting,
        waits_seconds=301.0,
    )  # fmt: skip
    assert kinds(late) == ["stalled"]
    # Neither stored nor waiting: PostgreSQL believes that it is archived.
    lost = look(archive(*ONE_LINE[:-2]), backup(1, 2, 3), writes=Segment(1, 10))
    assert kinds(lost) == ["gap"]


def test_archiving_that_is_off_is_said() -> None:
    made = look(archive(*ONE_LINE), backup(1, 2, 3), writes=Segment(1, 10), archives=False)
    assert (kinds(made), made.figures["latest_restorable"]) == (["archiving_off"], 0)


THREE_TIMELINES = [(1, 2), (1, 3), (1, 4), (2, 5), (2, 6), (2, 7), (3, 8), (3, 9)]


def test_a_line_of_timelines_is_followed_through_each_switch() -> None:
    made = look(
        archive(*THREE_TIMELINES), backup(1, 2, 3), writes=Segment(3, 10), history=HISTORY_3
    )
    assert (made.findings, made.figures["abandoned_timelines"]) == ([], 0)
    assert made.windows[0].to is None


@pytest.mark.parametrize("lost", THREE_TIMELINES[2:])
def test_each_segment_of_the_line_is_needed_on_its_own_timeline(lost: tuple[int, int]) -> None:
    kept = [one for one in THREE_TIMELINES if one != lost]
    # The same segment of another timeline is no replacement.
    other = (lost[0] % 3 + 1, lost[1])
    made = look(archive(*kept, other), backup(1, 2, 3), writes=Segment(3, 10), history=HISTORY_3)
    assert [finding.facts["first"] for finding in made.findings] == [str(Segment(*lost))]


def test_rests_of_former_timelines_and_abandoned_ones_are_nobodys_need() -> None:
    rests = [(1, 5), (1, 6), (4, 6), (4, 9)]
    made = look(
        archive(*THREE_TIMELINES, *rests), backup(1, 2, 3), writes=Segment(3, 10),
        history=HISTORY_3,
    )  # fmt: skip
    assert made.findings == []
    assert [one["timeline"] for one in made.timelines if one["abandoned"]] == [4]


def test_a_backup_of_an_abandoned_timeline_does_not_count() -> None:
    made = look(
        archive(*THREE_TIMELINES, (1, 5), (1, 6)), backup(1, 5, 6), writes=Segment(3, 10),
        history=HISTORY_3,
    )  # fmt: skip
    assert kinds(made) == ["no_full_backup"]
    assert made.windows == []
    assert made.backups == []


def test_no_backup_at_all_is_a_finding() -> None:
    made = look({}, writes=Segment(1, 10))
    assert (kinds(made), made.figures["latest_restorable"]) == (["no_full_backup"], 0)


@pytest.mark.parametrize(
    ("suffix", "size", "encrypted", "found"),
    [
        ("", WHOLE, False, []),
        ("", WHOLE - 1, False, ["wrong_size"]),
        ("", WHOLE + 32, True, []),
        ("", WHOLE, True, ["wrong_size"]),
        (".zst", 900, True, []),
        (".zst", 0, True, ["wrong_size"]),
        (".zst", 2 * WHOLE, False, ["wrong_size"]),
    ],
)
def test_sizes(suffix: str, size: int, *, encrypted: bool, found: list[str]) -> None:
    files = archive(*ONE_LINE) | {
        one: Stored(size, at(6)) for one in archive((1, 6), suffix=suffix)
    }
    if suffix == "":
        del files[path(1, 6)]
    made = look(files, backup(1, 2, 3), writes=Segment(1, 10), encrypted=encrypted)
    assert kinds(made) == found
    assert made.figures["latest_restorable"] == (0 if found else 1)


def test_a_segment_stored_twice_stops_every_restore() -> None:
    files = archive(*ONE_LINE) | {path(1, 6, content="b"): Stored(900, at(6))}
    made = look(files, backup(1, 2, 3), writes=Segment(1, 10))
    assert (kinds(made), made.windows[0].to) == (["duplicate"], at(5))


def test_without_a_leader_the_archive_is_followed_to_its_own_end() -> None:
    files = archive(*THREE_TIMELINES) | {
        "00000003.history": Stored(80, at(8)),
        "0000000100000000/000000010000000000000002.00000028.backup": Stored(300, at(2)),
    }
    made = look(files, backup(1, 2, 3), history=HISTORY_3)
    assert (made.findings, made.figures["segments_needed"]) == ([], 8)


def test_the_names_of_segments() -> None:
    assert str(Segment.parse("0000000A00000002000000FF")) == "0000000A00000002000000FF"
    assert Segment.parse("000000010000000100000000").number == 256


def test_behind_a_restore_to_a_moment_before_a_failover_holes_are_found() -> None:
    """The history goes back then: timeline 2 ends before timeline 1 does."""
    history = "1\t0/8000028\tno recovery target\n2\t0/4000028\tbefore 2026-11-23\n"
    files = archive((1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7), (2, 8), (2, 9))
    files |= archive((3, 4), (3, 5), (3, 7))
    made = look(files, backup(1, 1, 2), history=history, writes=Segment(3, 8))
    assert [finding.facts["first"] for finding in made.findings] == [str(Segment(3, 6))]
    assert made.windows[0].to == at(5)


@pytest.mark.parametrize(
    ("stored", "waits", "found"),
    [(True, False, []), (False, True, []), (False, False, ["history_missing"])],
)
def test_the_history_of_a_former_timeline_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, stored: bool, waits: bool, found: list[str]
) -> None:
    """Recovery to the latest timeline looks for one after the other, and ends where one lacks."""
    (tmp_path / "archive_status").mkdir()
    if waits:
        (tmp_path / "archive_status" / "00000002.history.ready").touch()
    histories = ["00000003.history", *(["00000002.history"] if stored else [])]
    files = archive(*THREE_TIMELINES) | {name: Stored(80, at(8)) for name in histories}
    made = backup(1, 2, 3)
    monkeypatch.setattr(pgbackrest, "info", lambda _: Stanza(0, "ok", (made,), "17-1"))
    kept = {f"{made.label}/{name}": Stored(1, at(3)) for name in ("backup.manifest", "bundle/1")}
    monkeypatch.setattr(pgbackrest, "files", lambda _: kept)
    monkeypatch.setattr(pgbackrest, "archived", lambda *_: files)
    monkeypatch.setattr(pgbackrest, "content", lambda _: HISTORY_3)
    assert kinds(wal_audit.look("wedsync", None, tmp_path)) == found


def test_a_timeline_that_ended_at_once_needs_nothing() -> None:
    ends = {1: (5, 0), 2: (5, 0)}
    assert [(one.timeline, one.first, one.last) for one in stretches(3, ends, 2, 9)] == [
        (1, 2, 4), (3, 5, 9),
    ]  # fmt: skip
