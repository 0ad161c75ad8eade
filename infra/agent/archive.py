"""Frees the archive from segments that no timeline needs.

When a leader dies, the segment it was writing ends in the middle; the new timeline begins with a
copy of what counts of it. Machines may keep the rest of such a segment in different states, and one
that leads later offers its own to the archive. If the archive has another one's, pgBackRest
rightly refuses (error 45), and PostgreSQL would offer it for ever and archive nothing after it.

Recovery along the present history never reads such a segment: it reads its successor on the next
timeline. So exactly those are marked as archived: refused as duplicates, and at or past the end of
their timeline in the history file of the present one.
Source: https://www.postgresql.org/docs/17/continuous-archiving.html#BACKUP-TIMELINES
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

from infra.agent import paths, patroni
from infra.agent.facts import Machine

DUPLICATE = "45"  # pgBackRest's ArchiveDuplicateError
SEGMENT_BYTES = 16 * 1024 * 1024  # initdb's default, which `initialize` leaves as it is
SEGMENTS_PER_FILE_ID = 0x1_0000_0000 // SEGMENT_BYTES
SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})\Z")
SWITCH = re.compile(r"\s*(\d+)\s+([0-9A-F]+)/([0-9A-F]+)\s")

log = logging.getLogger(__name__)


class Archive:
    """Looks after what PostgreSQL still wants to archive, where this machine leads."""

    def __init__(self, machine: Machine, wal: Path = paths.WAL, spool: Path = paths.SPOOL) -> None:
        self._machine = machine
        self._wal = wal
        self._refused = spool / "archive" / machine.stanza / "out"

    def step(self) -> None:
        """Mark superseded segments that the archive refuses.

        Raises:
            OSError: a file cannot be read or renamed; to be tried again.
        """
        member = patroni.member(self._machine.name)
        if member is not None and member.leader and member.timeline is not None:
            self.release(member.timeline)

    def release(self, timeline: int) -> list[str]:
        """Mark them for the present `timeline`, and return their names."""
        history = self._wal / f"{timeline:08X}.history"
        if not history.exists():
            return []
        ends = timeline_ends(history.read_text(encoding="ascii"))
        released = [
            error.stem
            for error in sorted(self._refused.glob("*.error"))
            if is_superseded(error.stem, ends) and _code(error) == DUPLICATE
        ]
        for segment in released:
            ready = self._wal / "archive_status" / f"{segment}.ready"
            if ready.exists():
                ready.rename(ready.with_suffix(".done"))
                log.warning("%s is superseded by a later timeline: not archived", segment)
            (self._refused / f"{segment}.error").unlink(missing_ok=True)
        return released


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


def _code(error: Path) -> str:
    """The first line of pgBackRest's note on a failed push: its error code."""
    return error.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
