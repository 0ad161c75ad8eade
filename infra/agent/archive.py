"""Keeps the archive whole across changes of the leader.

A leader that dies or hands over may leave finished segments that it has not archived: the store was
away, or it had no time. A standby takes what it streams for archived by its leader, so nobody would
archive those, and recovery would end there for ever. Each machine looks after that: whoever leads
now has its PostgreSQL archive what the archive lacks of former timelines, as far as it has it, and
keep it until then; a former leader archives what it still owes once it follows. pgBackRest takes
the same segment twice. History files go the same way: without one, recovery to the latest timeline
ends before it.

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
from collections.abc import Mapping
from pathlib import Path

from infra.agent import paths, patroni, pgbackrest
from infra.agent.errors import AgentError
from infra.agent.facts import Machine

DUPLICATE = "45"  # pgBackRest's ArchiveDuplicateError
SEGMENT_BYTES = 16 * 1024 * 1024  # initdb's default, which `initialize` leaves as it is
SEGMENTS_PER_FILE_ID = 0x1_0000_0000 // SEGMENT_BYTES
SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})\Z")
HISTORY = re.compile(r"([0-9A-F]{8})\.history\Z")
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
        """See to what former leaders left; where this machine leads, mark superseded segments.

        Raises:
            AgentError: the repository does not answer, or refuses a file; to be tried again.
            OSError: a file cannot be read or renamed; to be tried again.
        """
        member = patroni.member(self._machine.name)
        if member is None or member.timeline is None:
            return
        if not member.leader:
            self.hand_in(member.timeline)
            return
        self.release(member.timeline)
        if self._whole != member.timeline and not self.offer(member.timeline):
            self._whole = member.timeline

    def offer(self, timeline: int) -> set[str]:
        """Have PostgreSQL here archive what the archive lacks of timelines before `timeline`.

        Before the store is asked they are marked, all of them: a checkpoint takes the others away.

        Returns:
            The names of those that the archive lacks.

        Raises:
            AgentError: the repository does not answer; they stay marked.
        """
        ends = self._ends(timeline)
        held = sorted(one.name for one in self._wal.iterdir() if is_needed(one.name, ends))
        for name in held:
            self._mark(name, archived=False)
        lacking = set(pgbackrest.not_archived(self._machine.stanza, held))
        for name in held:
            if name not in lacking:
                self._mark(name, archived=True)
        if lacking:
            log.warning("of former timelines the archive lacks %s", ", ".join(sorted(lacking)))
        return lacking

    def hand_in(self, timeline: int) -> None:
        """Archive what this machine, which led, owes and the present `timeline` needs.

        Raises:
            AgentError: the repository does not answer, or refuses a file; the others are there.
        """
        ends = self._ends(timeline)
        owed = sorted(one.stem for one in self._status.glob("*.ready") if is_needed(one.stem, ends))
        lacking = set(pgbackrest.not_archived(self._machine.stanza, owed))
        refused: AgentError | None = None
        for name in owed:
            if name in lacking and (self._wal / name).exists():
                try:
                    pgbackrest.push(self._machine.stanza, self._wal / name)
                except AgentError as error:
                    refused = error
                    continue
                log.warning("%s was owed from when this machine led: archived", name)
            self._mark(name, archived=True)
        if refused is not None:
            raise refused

    def release(self, timeline: int) -> list[str]:
        """Mark them for the present `timeline`, and return their names."""
        ends = self._ends(timeline)
        released = [
            error.stem
            for error in sorted(self._refused.glob("*.error"))
            if is_superseded(error.stem, ends) and _code(error) == DUPLICATE
        ]
        for segment in released:
            if self._mark(segment, archived=True):
                log.warning("%s is superseded by a later timeline: not archived", segment)
            (self._refused / f"{segment}.error").unlink(missing_ok=True)
        return released

    def _ends(self, timeline: int) -> dict[int, tuple[int, int]]:
        """Where former timelines ended.

        Raises:
            AgentError: the history of the present one is not here.
        """
        if timeline == 1:
            return {}
        history = self._wal / f"{timeline:08X}.history"
        try:
            return timeline_ends(history.read_text(encoding="ascii"))
        except FileNotFoundError as error:
            raise AgentError(f"{history} is not there yet") from error

    def _mark(self, name: str, *, archived: bool) -> bool:
        """Note that a file is archived or is to be; return whether that is news to PostgreSQL."""
        ready, done = (self._status / f"{name}.{state}" for state in ("ready", "done"))
        now, before = (done, ready) if archived else (ready, done)
        if before.exists():
            before.rename(now)
        elif archived or now.exists():
            return False
        else:
            now.touch()
        return True


def timeline_ends(history: str) -> dict[int, tuple[int, int]]:
    """Return, by timeline, where it ended: (number of the segment, byte), from a history file.

    A restore to a moment before a switch of timelines leaves a history that goes back: the last
    timeline in it ends before others do. PostgreSQL takes each place from the newest timeline that
    had begun by then (`tliOfPointInHistory`), so earlier ones end there, too.
    """
    ends: dict[int, tuple[int, int]] = {}
    for line in history.splitlines():
        if found := SWITCH.match(line):
            byte = (int(found[2], 16) << 32) + int(found[3], 16)
            end = (byte // SEGMENT_BYTES, byte)
            ends = {former: min(its, end) for former, its in ends.items()} | {int(found[1]): end}
    return ends


def is_superseded(segment: str, ends: Mapping[int, tuple[int, int]]) -> bool:
    """Tell whether a segment lies at or past the end of its timeline."""
    found = SEGMENT.match(segment)
    if found is None:
        return False
    timeline, file_id, offset = (int(part, 16) for part in found.groups())
    end = ends.get(timeline)
    return end is not None and file_id * SEGMENTS_PER_FILE_ID + offset >= end[0]


def is_needed(name: str, ends: Mapping[int, tuple[int, int]]) -> bool:
    """Tell whether recovery reads a file of a former timeline.

    That is its history, or a segment that lies before its end.
    """
    found = SEGMENT.match(name) or HISTORY.match(name)
    return found is not None and int(found[1], 16) in ends and not is_superseded(name, ends)


def _code(error: Path) -> str:
    """The first line of pgBackRest's note on a failed push: its error code."""
    return error.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
