"""What a restored copy has to be, and what was found of it: the findings of a restore drill."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from infra.agent import contents
from infra.agent.contents import Expected
from infra.agent.copies import Copy, Reached
from infra.agent.drill_ledger import Claim
from infra.agent.evidence import Finding, document
from infra.agent.pgbackrest import position
from infra.agent.run import one_line

SHOWN = 3  # differences named in a finding

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Point:
    """A point that the drill made itself, and what is known of it."""

    name: str
    lsn: str
    canary_before: int
    canary_behind: int
    expected: Expected


@dataclass
class Result:
    """What the drill found so far; times in seconds."""

    began: float = field(default_factory=time.monotonic)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    label: str | None = None
    restored_bytes: int | None = None
    archived_seconds: float | None = None
    restore_seconds: float | None = None
    recovery_seconds: float | None = None
    reached: Reached | None = None
    findings: list[dict[str, object]] = field(default_factory=list)

    def note(self, check: str, detail: str, *, passed: bool) -> None:
        """Add a finding."""
        self.findings.append({"check": check, "passed": passed, "detail": detail[:1000]})
        log.log(logging.INFO if passed else logging.ERROR, "%s: %s", check, detail)

    def as_json(self) -> dict[str, object]:
        """Return it as the ledger takes it."""
        reached = self.reached
        return {
            "label": self.label,
            "findings": self.findings,
            "reached_lsn": reached.lsn if reached else None,
            "reached_time": reached.time.isoformat() if reached and reached.time else None,
            "archived_seconds": self.archived_seconds,
            "restore_seconds": self.restore_seconds,
            "recovery_seconds": self.recovery_seconds,
            "total_seconds": time.monotonic() - self.began,
            "restored_bytes": self.restored_bytes,
        }

    def document(self, claim: Claim, node: str, used: Mapping[str, str]) -> dict[str, object]:
        """Return the document of the drill; the verdict is the ledger's, which knows the rule."""
        figures = {
            "archived_seconds": self.archived_seconds,
            "restore_seconds": self.restore_seconds,
            "recovery_seconds": self.recovery_seconds,
            "restored_bytes": self.restored_bytes,
        }
        wrong = [one for one in self.findings if not one["passed"]]
        reached = self.reached
        return document(
            "restore_drill",
            node=node,
            versions=used,
            began=self.started_at,
            figures={name: value for name, value in figures.items() if value is not None},
            findings=[Finding(str(one["check"]), str(one["detail"])) for one in wrong],
            attempt=claim.attempt,
            target={"type": claim.kind, "value": claim.target, "inclusive": claim.inclusive},
            label=self.label,
            reached_lsn=reached.lsn if reached else None,
            compared=self.findings,
        )


def judge_position(
    claim: Claim, point: Point | None, copy: Copy, reached: Reached, result: Result
) -> None:
    """Recovery ended where the drill asked it to."""
    where = f"recovery ended at {reached.lsn}, {reached.reason}"
    if point is not None or claim.kind == "name":
        wanted = position(point.lsn) if point else claim.lsn
        result.note("target", where, passed=position(reached.lsn) == wanted)
    elif claim.kind == "lsn":
        # The target may lie between two records, at the end of a page: the next one begins behind.
        ended, side = position(reached.lsn), "after" if claim.inclusive else "before"
        right = ended > (claim.lsn or 0) if claim.inclusive else ended >= (claim.lsn or 0)
        result.note("target", where, passed=right and reached.reason.startswith(f"{side} LSN"))
    elif claim.kind == "time":
        moment, last = datetime.fromisoformat(claim.target), reached.time
        right = last is not None and (last <= moment if claim.inclusive else last < moment)
        result.note("target", f"{where}, last commit {last}", passed=right)
    else:
        is_there = _has_committed(copy, claim.target)
        result.note(
            "target",
            f"{where}, transaction {claim.target} is {'in' if is_there else 'not in'} the copy",
            passed=is_there == claim.inclusive,
        )


def judge_canaries(wanted: Mapping[int, bool], copy: Copy, result: Result) -> None:
    """Canaries of before the target are there, those behind it are not.

    Parameters: `wanted`, the identity of each canary and whether the copy must have it.
    """
    with copy.connect() as connection:
        there = connection.execute("SELECT pg_catalog.to_regclass('internal.canaries')")
        listed = "SELECT canary_id FROM internal.canaries WHERE canary_id = ANY (%s)"
        found = (
            {row[0] for row in connection.execute(listed, [list(wanted)])}
            if there.fetchone() != (None,)
            else set()
        )
    missing = [one for one, expected in wanted.items() if expected and one not in found]
    extra = [one for one, expected in wanted.items() if not expected and one in found]
    present = sum(wanted.values())
    detail = f"{present} before the target are there, {len(wanted) - present} behind it not"
    if missing or extra:
        detail = f"missing {missing[:SHOWN]}, too many {extra[:SHOWN]}"
    result.note("canaries", detail, passed=not missing and not extra)


def judge_content(point: Point, copy: Copy, result: Result, report: Callable[[str], None]) -> None:
    """Tables hold what they held at the point; `report` hears the name of each."""
    with copy.connect() as connection:
        found = contents.read(connection, report)
    differ = contents.differences(point.expected, found)
    ranges, moving = len(point.expected.settled), len(point.expected.moving)
    detail = f"{point.expected.rows} rows in {ranges} ranges of keys are equal; {moving} ranges"
    detail += " changed while the point was written and are not compared"
    if differ:
        detail = f"{len(differ)} of {ranges} ranges differ: {'; '.join(differ[:SHOWN])}"
    result.note("content", detail, passed=not differ and point.expected.rows > 0)


def judge_isolation(copy: Copy, result: Result) -> None:
    """The copy reaches nobody and nothing runs in it."""
    open_ways = copy.is_cut_off()
    result.note(
        "cut off",
        ", ".join(open_ways) or "no network, no archiving, no scheduled jobs",
        passed=not open_ways,
    )


def judge_pages(copy: Copy, result: Result, beat: Callable[[], None]) -> None:
    """Every page and index of the copy is sound; `beat` is called while that is looked at."""
    wrong = copy.check_pages(beat)
    result.note(
        "pages and indexes",
        one_line(wrong) or "pg_amcheck found nothing wrong",
        passed=not wrong,
    )


def _has_committed(copy: Copy, transaction: str) -> bool:
    """Whether the copy has the commit of a transaction; it may not have heard of it at all."""
    with copy.connect() as connection:
        row = connection.execute(
            "SELECT CASE WHEN %s::xid8 < pg_catalog.pg_snapshot_xmax("
            "pg_catalog.pg_current_snapshot()) THEN pg_catalog.pg_xact_status(%s::xid8) END",
            [transaction, transaction],
        ).fetchone()
    return row == ("committed",)
