"""The WAL audit: has the archive every segment from the oldest full backup to now?

pgBackRest's `verify`, `check` and `info` do not see a hole in the archive, and a restore without a
target ends at it without a word. So the archive's listing is walked here, segment by segment along
the history of the present timeline: where a timeline ended in the middle of a segment, the next one
has that segment again, and only there it is read. What lies past the end of a timeline, and
timelines that the present one does not descend from, belong to nobody's recovery.

`info` knows backups by a list of its own: whether the files of each are there is looked up.
Source: https://www.postgresql.org/docs/17/continuous-archiving.html#BACKUP-TIMELINES
"""

import re
from bisect import bisect_left
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from infra.agent import pgbackrest
from infra.agent.archive import SEGMENT_BYTES, SEGMENTS_PER_FILE_ID, timeline_ends
from infra.agent.deadline import Connection
from infra.agent.errors import AgentError
from infra.agent.evidence import Finding
from infra.agent.pgbackrest import Backup, Stanza, Stored

STALLED = 300.0  # seconds that a finished segment may wait: ten times archive_timeout
SALT_AND_PADDING = 32  # bytes that encryption adds to a whole segment (AES-256-CBC, OpenSSL's form)
MOST_NAMED = 100  # holes and files that are named one by one

NAME = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})\Z")
STORED_SEGMENT = re.compile(r"[0-9A-F]{16}/([0-9A-F]{24})-[0-9a-f]{40}(\.(?:gz|lz4|zst|bz2))?\Z")
STORED_HISTORY = re.compile(r"([0-9A-F]{8})\.history\Z")

_POSITION = """
    SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()),
           pg_catalog.current_setting('archive_mode'),
           pg_catalog.current_setting('archive_command')"""


@dataclass(frozen=True, order=True)
class Segment:
    """A WAL segment: `number` counts from the beginning of all WAL, whatever the timeline."""

    timeline: int
    number: int

    @classmethod
    def parse(cls, name: str) -> "Segment":
        """Return the segment of that name.

        Raises:
            AgentError: it is none.
        """
        found = NAME.match(name)
        if found is None:
            raise AgentError(f"{name!r} is no WAL segment")
        timeline, file_id, offset = (int(part, 16) for part in found.groups())
        return cls(timeline, file_id * SEGMENTS_PER_FILE_ID + offset)

    def __str__(self) -> str:
        file_id, offset = divmod(self.number, SEGMENTS_PER_FILE_ID)
        return f"{self.timeline:08X}{file_id:08X}{offset:08X}"


@dataclass(frozen=True)
class Position:
    """Where the leader is.

    Attributes:
        writes: the segment that it writes: everything before it is finished.
        archives: whether finished segments are handed to pgBackRest at all.
        waiting: finished segments that PostgreSQL knows are not archived yet.
        waits_seconds: how long the first of them has been finished.
    """

    writes: Segment
    archives: bool = True
    waiting: frozenset[Segment] = frozenset()
    waits_seconds: float = 0.0


@dataclass(frozen=True)
class Stretch:
    """What a line of history needs of one timeline: segments first to last."""

    timeline: int
    first: int
    last: int

    def __iter__(self) -> Iterator[Segment]:
        return (Segment(self.timeline, number) for number in range(self.first, self.last + 1))


@dataclass(frozen=True)
class Window:
    """Moments that can be restored, from the end of a backup on; `to` is None up to now."""

    since: datetime
    to: datetime | None
    backup: str


@dataclass
class Audit:
    """What the archive holds, and what it lacks."""

    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    windows: list[Window] = field(default_factory=list)
    timelines: list[dict[str, object]] = field(default_factory=list)
    backups: list[Backup] = field(default_factory=list)
    """Those that the present timeline descends from: others lead to what was abandoned."""
    unusable: list[Backup] = field(default_factory=list)
    """Those of them that lack WAL or files of their own."""
    broken: list[int] = field(default_factory=list)
    """Numbers of the segments that are missing or wrong, in order."""


def position(connection: Connection, wal: Path) -> Position:
    """Ask the leader, on which this runs, where it is. `wal` is its pg_wal.

    Order matters: a segment that is neither waiting after this, nor in a listing of the archive
    made later, is lost.
    """
    row = connection.execute(_POSITION).fetchone()
    if row is None:
        raise AgentError("the primary does not say where it writes")
    ready = {
        Segment.parse(note.stem): note
        for note in (wal / "archive_status").glob("*.ready")
        if NAME.match(note.stem)
    }
    first = min(ready, default=None)
    return Position(
        writes=Segment.parse(row[0]),
        archives=row[1] in ("on", "always") and "pgbackrest" in row[2],
        waiting=frozenset(ready),
        waits_seconds=_age(ready[first]) if first else 0.0,
    )


def look(stanza: str, where: Position | None, wal: Path) -> Audit:
    """Audit the archive of a stanza; without a position, as far as the archive goes.

    Raises:
        AgentError: the repository gives no answer; nothing is known.
    """
    said = pgbackrest.info(stanza)
    gone = without_files(said.backups, pgbackrest.files(f"backup/{stanza}")) if said.backups else ()
    if gone:  # retention may have taken them between the two looks
        said = pgbackrest.info(stanza)
    if said.code not in (pgbackrest.STATUS_OK, pgbackrest.STATUS_NO_BACKUP):
        if said.code in (pgbackrest.STATUS_MISSING_PATH, pgbackrest.STATUS_MISSING_DATA):
            return _nothing(said.message)
        raise AgentError(f"the backup repository does not answer: {said.message}")
    files = pgbackrest.archived(stanza, said.archive_id) if said.archive_id else {}
    timeline = where.writes.timeline if where else newest_timeline(files)
    history, finding = _history(stanza, said.archive_id, timeline, files, wal)
    audited = audit(said, files, timeline, history, where, gone=gone)
    if finding:
        audited.findings.append(finding)
        audited.figures["latest_restorable"] = 0
    audited.findings += _former_histories(history, files, wal)
    return audited


def audit(
    said: Stanza,
    files: Mapping[str, Stored],
    timeline: int,
    history: str,
    where: Position | None,
    *,
    gone: Collection[str] = (),
) -> Audit:
    """Walk the archive of the present system.

    Args:
        said: the backups.
        files: everything in the archive, by path.
        timeline: the present one.
        history: its history file, empty for the first.
        where: where the leader is; None if there is none to ask.
        gone: labels of backups whose files are not there.
    """
    made = Audit()
    stored = stored_segments(files)
    ends = timeline_ends(history)
    backups = [one for one in said.backups if one.archive_id == said.archive_id]
    of_line = [one for one in backups if _is_of(one, timeline, ends)]
    lost = [one for one in of_line if not {one.label, *one.references}.isdisjoint(gone)]
    own = [one for one in of_line if one not in lost]
    made.findings += [_without_files(one, gone) for one in lost]
    oldest = next((one for one in own if one.type == "full"), None)
    if oldest is None:
        made.findings.append(Finding("no_full_backup", "There is no full backup to restore from."))
    last = _last(stored, timeline, ends, where)
    first = Segment.parse(oldest.wal_start).number if oldest else last + 1
    line = [segment for part in stretches(timeline, ends, first, last) for segment in part]
    waiting = where.waiting if where else frozenset()
    wrong = dict(_wrong(stored, encrypted=said.encrypted))
    missing = [one for one in line if one not in stored and one not in waiting]
    holes = [*_holes(missing)]
    newest = Segment.parse(own[-1].wal_start).number if own else first
    made.findings += [_hole(one, is_past=one[-1].number < newest) for one in holes[-MOST_NAMED:]]
    made.findings += [wrong[one] for one in line if one in wrong][-MOST_NAMED:]
    made.findings += _stalled(where)
    made.broken = sorted(one.number for one in {*missing, *(one for one in line if one in wrong)})
    made.windows, unusable = _windows(own, line, made.broken, stored)
    made.findings += [_without_wal(one) for one in unusable]
    made.backups, made.unusable = of_line, unusable + lost
    made.timelines = [*_timelines(stored, backups, timeline, ends)]
    late = [one for one in line if one in waiting and one not in stored]
    up_to_now = bool(made.windows) and made.windows[-1].to is None
    if up_to_now and any(_stalled(where)):
        up_to_now, newest_stored = False, max(one.at for one in files.values())
        made.windows[-1] = replace(made.windows[-1], to=newest_stored)
    made.figures = {
        "segments_needed": len(line),
        "segments_missing": len(missing),
        "segments_waiting": len(late),
        "gaps": len(holes),
        "gaps_since_backup": sum(1 for hole in holes if hole[-1].number >= newest),
        "wrong_segments": sum(1 for one in line if one in wrong),
        "waiting_seconds": round(where.waits_seconds, 1) if where else 0,
        "archiving": int(where.archives) if where else 1,
        "backups": len(own),
        "full_backups": sum(1 for one in own if one.type == "full"),
        "backups_without_wal": len(unusable),
        "backups_without_files": len(lost),
        "timelines": len(made.timelines),
        "abandoned_timelines": sum(1 for one in made.timelines if one["abandoned"]),
        "archive_bytes": sum(one.size for one in files.values()),
        "backup_bytes": sum(one.stored for one in said.backups),
        "latest_restorable": int(up_to_now),
        "restorable_seconds": round(_seconds(made.windows)),
    }
    made.figures["repository_bytes"] = sum(
        made.figures[f"{of}_bytes"] for of in ("archive", "backup")
    )
    return made


def stored_segments(files: Mapping[str, Stored]) -> dict[Segment, list[tuple[str, Stored]]]:
    """Return the segments among the files of an archive, each with its files."""
    found: dict[Segment, list[tuple[str, Stored]]] = {}
    for path, file in files.items():
        if name := STORED_SEGMENT.match(path):
            found.setdefault(Segment.parse(name[1]), []).append((path, file))
    return found


def without_files(backups: Iterable[Backup], files: Iterable[str]) -> set[str]:
    """Return the labels of backups of which the store has no manifest, or nothing but that.

    Args:
        backups: those that `info` names.
        files: everything in the folder of backups, by path.
    """
    there: dict[str, set[str]] = {}
    for path in files:
        label, _, name = path.partition("/")
        there.setdefault(label, set()).add(name)
    manifests = {"backup.manifest", "backup.manifest.copy"}
    found = {one.label: there.get(one.label, set()) for one in backups}
    return {label for label, names in found.items() if not names & manifests or names <= manifests}


def newest_timeline(files: Iterable[str]) -> int:
    """Return the highest timeline that an archive knows of; 1 if it knows of none."""
    named = (STORED_HISTORY.match(path) or STORED_SEGMENT.match(path) for path in files)
    return max((int(one[1][:8], 16) for one in named if one), default=1)


def stretches(
    timeline: int, ends: Mapping[int, tuple[int, int]], first: int, last: int
) -> list[Stretch]:
    """Return what recovery to `timeline` reads from segment `first` to `last`, in order."""
    found, begin = [], first
    for former in sorted(ends):
        end = ends[former][0]
        if begin < end:
            found.append(Stretch(former, begin, min(end - 1, last)))
        begin = max(begin, end)
    found.append(Stretch(timeline, begin, last))
    return [part for part in found if part.first <= part.last]


def _is_of(backup: Backup, timeline: int, ends: Mapping[int, tuple[int, int]]) -> bool:
    """Whether the present timeline descends from where a backup ended."""
    own = Segment.parse(backup.wal_stop).timeline
    if own not in ends:
        return own == timeline
    return pgbackrest.position(backup.lsn_stop) <= ends[own][1]


def _last(
    stored: Iterable[Segment],
    timeline: int,
    ends: Mapping[int, tuple[int, int]],
    where: Position | None,
) -> int:
    """Return the number of the last segment that can be expected in the archive."""
    if where:
        return where.writes.number - 1
    begin = max((end for end, _ in ends.values()), default=0)
    return max((one.number for one in stored if one.timeline == timeline), default=begin - 1)


def _wrong(
    stored: Mapping[Segment, Sequence[tuple[str, Stored]]], *, encrypted: bool
) -> Iterator[tuple[Segment, Finding]]:
    """Yield segments that cannot be what PostgreSQL wrote: stored twice, or of another size.

    A compressed one says little by its size; `pgbackrest verify` reads it.
    """
    whole = SEGMENT_BYTES + (SALT_AND_PADDING if encrypted else 0)
    for segment, files in stored.items():
        if len(files) > 1:
            sentence = f"Segment {segment} is stored {len(files)} times, with different contents."
            yield segment, Finding("duplicate", sentence, {"segment": str(segment)})
            continue
        ((path, file),) = files
        is_packed = STORED_SEGMENT.match(path)[2] is not None  # type: ignore[index]
        if (0 < file.size <= whole + 4096) if is_packed else file.size == whole:
            continue
        sentence = f"Segment {segment} has {file.size} bytes in the store."
        yield segment, Finding("wrong_size", sentence, {"segment": str(segment)})


def _holes(missing: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Yield the segments that are missing one after the other."""
    numbered = enumerate(missing)
    for _, group in groupby(numbered, lambda one: (one[1].timeline, one[1].number - one[0])):
        yield [segment for _, segment in group]


def _hole(hole: Sequence[Segment], *, is_past: bool) -> Finding:
    what = f"{hole[0]}" if len(hole) == 1 else f"{hole[0]} to {hole[-1]}"
    means = "before the newest backup" if is_past else "since the newest backup"
    return Finding(
        "gap",
        f"WAL is missing {means}: {what} ({len(hole)} segments).",
        {"first": str(hole[0]), "last": str(hole[-1]), "segments": len(hole), "is_past": is_past},
    )


def _without_wal(backup: Backup) -> Finding:
    sentence = f"Backup {backup.label} lacks WAL between {backup.wal_start} and {backup.wal_stop}."
    return Finding("backup_without_wal", sentence, {"label": backup.label})


def _without_files(backup: Backup, gone: Collection[str]) -> Finding:
    sentence = f"Backup {backup.label} is listed, but its files are not there."
    if backup.label not in gone:
        missing = next(label for label in backup.references if label in gone)
        sentence = f"Backup {backup.label} needs files of {missing}, which are not there."
    return Finding("backup_missing", sentence, {"label": backup.label})


def _stalled(where: Position | None) -> Iterator[Finding]:
    if where and not where.archives:
        yield Finding("archiving_off", "PostgreSQL does not hand its WAL to pgBackRest.")
    if where and where.waits_seconds > STALLED:
        yield Finding(
            "stalled",
            f"{len(where.waiting)} segments wait to be archived, the first for"
            f" {where.waits_seconds / 60:.0f} minutes.",
            {"first": str(min(where.waiting)), "segments": len(where.waiting)},
        )


def _windows(
    backups: Sequence[Backup],
    line: Sequence[Segment],
    broken: Sequence[int],
    stored: Mapping[Segment, Sequence[tuple[str, Stored]]],
) -> tuple[list[Window], list[Backup]]:
    """Return the moments that can be restored, and the backups that cannot."""
    of_number = {one.number: one for one in line}
    windows: list[Window] = []
    unusable = []
    for backup in backups:
        start, stop = (Segment.parse(name).number for name in (backup.wal_start, backup.wal_stop))
        place = bisect_left(broken, start)
        first_broken = broken[place] if place < len(broken) else None
        if first_broken is not None and first_broken <= stop:
            unusable.append(backup)
            continue
        to = None
        if first_broken is not None:
            before = stored.get(of_number[first_broken - 1])
            to = max(backup.completed_at, before[0][1].at if before else backup.completed_at)
        if windows and (windows[-1].to is None or windows[-1].to >= backup.completed_at):
            windows[-1] = Window(windows[-1].since, to, windows[-1].backup)
        else:
            windows.append(Window(backup.completed_at, to, backup.label))
    return windows, unusable


def _timelines(
    stored: Iterable[Segment],
    backups: Sequence[Backup],
    timeline: int,
    ends: Mapping[int, tuple[int, int]],
) -> Iterator[dict[str, object]]:
    """Yield what the archive has of each timeline, told apart from those nobody descends from."""
    key = lambda one: one.timeline  # noqa: E731 - sorted and grouped by the same
    for number, group in groupby(sorted(stored, key=lambda one: (one.timeline, one.number)), key):
        segments = list(group)
        taken = [one.label for one in backups if Segment.parse(one.wal_stop).timeline == number]
        yield {
            "timeline": number,
            "first": str(segments[0]),
            "last": str(segments[-1]),
            "segments": len(segments),
            "backups": len(taken),
            "abandoned": number != timeline and number not in ends,
        }


def _seconds(windows: Iterable[Window]) -> float:
    return sum(((one.to or datetime.now(UTC)) - one.since).total_seconds() for one in windows)


def _history(
    stanza: str, archive_id: str, timeline: int, files: Mapping[str, Stored], wal: Path
) -> tuple[str, Finding | None]:
    """Return the history file of a timeline, and a finding if the archive does not have it."""
    name = f"{timeline:08X}.history"
    if timeline == 1:
        return "", None
    if name in files:
        return pgbackrest.content(f"archive/{stanza}/{archive_id}/{name}"), None
    local = wal / name
    if not local.exists():
        raise AgentError(f"{name} is neither in the archive nor in {wal}: nothing can be followed")
    if (wal / "archive_status" / f"{name}.ready").exists():
        return local.read_text(encoding="ascii"), None
    finding = Finding("history_missing", f"{name} is not in the archive: restores end before it.")
    return local.read_text(encoding="ascii"), finding


def _former_histories(history: str, files: Container[str], wal: Path) -> Iterator[Finding]:
    """Yield what the archive lacks of how to get from an older timeline to the present one."""
    for timeline in timeline_ends(history):
        name = f"{timeline:08X}.history"
        waits = (wal / "archive_status" / f"{name}.ready").exists()
        if timeline > 1 and name not in files and not waits:
            sentence = (
                f"{name} is not in the archive: restores from backups of before it end there."
            )
            yield Finding("history_missing", sentence)


def _nothing(message: str) -> Audit:
    findings = [
        Finding("no_repository", f"The repository does not hold the stanza: {message}."),
        Finding("no_full_backup", "There is no full backup to restore from."),
    ]
    return Audit(findings, {"backups": 0, "full_backups": 0, "latest_restorable": 0})


def _age(path: Path) -> float:
    try:
        return max(0.0, datetime.now(UTC).timestamp() - path.stat().st_mtime)
    except FileNotFoundError:  # archived just now
        return 0.0
