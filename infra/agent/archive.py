"""Keeps the archive whole across changes of the leader.

A leader that dies or hands over may leave finished segments that it has not archived: the store was
away, or it had no time. A standby takes what it streams for archived by its leader, so nobody would
archive those, and recovery would end there for ever. Each machine looks after that: whoever leads
now archives what the archive lacks of former timelines, as far as it has it, and a former leader,
once it follows, what it still owes. pgBackRest takes the same segment twice.

The last segment of a former leader ends in the middle; the new timeline begins with a copy of what
counts of it. Machines may keep the rest of such a segment in different states, and one that leads
later offers its own to the archive. If the archive has another one's, pgBackRest rightly refuses
(error 45), and PostgreSQL would offer it for ever and archive nothing after it.

Recovery along the present history never reads such a segment: it reads its successor on the next
timeline. So exactly those are marked as archived: refused as duplicates, and at or past the end of
their timeline in the history file of the present one.
Source: https://www.postgresql.org/docs/17/continuous-archiving.html#BACKUP-TIMELINES
"""

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from infra.agent import paths, patroni, pgbackrest
from infra.agent.facts import Machine

DUPLICATE = "45"  # pgBackRest's ArchiveDuplicateError
SEGMENT_BYTES = 16 * 1024 * 1024  # initdb's default, which `initialize` leaves as it is
SEGMENTS_PER_FILE_ID = 0x1_0000_0000 // SEGMENT_BYTES
SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})\Z")
SWITCH = re.compile(r"\s*(\d+)\s+([0-9A-F]+)/([0-9A-F]+)\s")

log = logging.getLogger(__name__)


class Archive:
    """Looks after what of the past is not archived, on every database machine."""

    def __init__(self, machine: Machine, wal: Path = paths.WAL, spool: Path = paths.SPOOL) -> None:
        self._machine = machine
        self._wal = wal
        self._status = wal / "archive_status"
        self._refused = spool / "archive" / machine.stanza / "out"
        self._whole = 0
        """The timeline that this machine led when nothing of those before it was missing."""

    def step(self) -> None:
        """Archive what former leaders left; where this machine leads, mark superseded segments.

        Raises:
            AgentError: the repository does not answer, or refuses a segment; to be tried again.
            OSError: a file cannot be read or renamed; to be tried again.
        """
        member = patroni.member(self._machine.name)
        if member is None or member.timeline is None:
            return
        if not member.leader:
            self.hand_in(member.timeline, self._owed())
            return
        self.release(member.timeline)
        if self._whole != member.timeline:
            self.hand_in(member.timeline, self._held())
            self._whole = member.timeline

    def hand_in(self, timeline: int, segments: Iterable[str]) -> list[str]:
        """Archive those of `segments` that the present `timeline` needs and the archive lacks.

        Returns:
            The names of those that it lacked.

        Raises:
            AgentError: the repository does not answer, or refuses a segment.
        """
        ends = self._ends(timeline)
        needed = sorted(one for one in segments if is_needed(one, ends))
        lacking = pgbackrest.not_archived(self._machine.stanza, needed)
        for segment in needed:
            if segment in lacking:
                pgbackrest.push(self._machine.stanza, self._wal / segment)
                log.warning("%s was left by a former leader: archived from here", segment)
            ready = self._status / f"{segment}.ready"
            if ready.exists():
                ready.rename(ready.with_suffix(".done"))
        return lacking

    def release(self, timeline: int) -> list[str]:
        """Mark them for the present `timeline`, and return their names."""
        ends = self._ends(timeline)
        released = [
            error.stem
            for error in sorted(self._refused.glob("*.error"))
            if is_superseded(error.stem, ends) and _code(error) == DUPLICATE
        ]
        for segment in released:
            ready = self._status / f"{segment}.ready"
            if ready.exists():
                ready.rename(ready.with_suffix(".done"))
                log.warning("%s is superseded by a later timeline: not archived", segment)
            (self._refused / f"{segment}.error").unlink(missing_ok=True)
        return released

    def _ends(self, timeline: int) -> dict[int, tuple[int, int]]:
        """Where former timelines ended; nothing where their history is not known here."""
        history = self._wal / f"{timeline:08X}.history"
        return timeline_ends(history.read_text(encoding="ascii")) if history.exists() else {}

    def _owed(self) -> list[str]:
        """Segments that this machine, which led, has not archived."""
        return [note.stem for note in self._status.glob("*.ready")]

    def _held(self) -> list[str]:
        """Segments that PostgreSQL here does not archive: it takes them for archived."""
        return [
            file.name
            for file in self._wal.iterdir()
            if SEGMENT.match(file.name) and not (self._status / f"{file.name}.ready").exists()
        ]


def timeline_ends(history: str) -> dict[int, tuple[int, int]]:
    """Return, by timeline, where it ended: (number of the segment, byte), from a history file."""
    ends = {}
    for line in history.splitlines():
        if found := SWITCH.match(line):
            byte = (int(found[2], 16) << 32) + int(found[3], 16)
            ends[int(found[1])] = (byte // SEGMENT_BYTES, byte)
    return ends


def is_superseded(segment: str, ends: Mapping[int, tuple[int, int]]) -> bool:
    """Tell whether a segment lies at or past the end of its timeline."""
    found = SEGMENT.match(segment)
    if found is None:
        return False
    timeline, file_id, offset = (int(part, 16) for part in found.groups())
    end = ends.get(timeline)
    return end is not None and file_id * SEGMENTS_PER_FILE_ID + offset >= end[0]


def is_needed(segment: str, ends: Mapping[int, tuple[int, int]]) -> bool:
    """Tell whether recovery reads a segment of a former timeline: it lies before its end."""
    found = SEGMENT.match(segment)
    return found is not None and int(found[1], 16) in ends and not is_superseded(segment, ends)


def _code(error: Path) -> str:
    """The first line of pgBackRest's note on a failed push: its error code."""
    return error.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
