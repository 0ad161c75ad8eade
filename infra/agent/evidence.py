"""Evidence: one JSON document per run that says what was done, with what, when, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be: a sentence for people, facts for programs."""

    kind: str
    what: str
    facts: Mapping[str, object] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The finding for programs."""
        return {"kind": self.kind, "what": self.what, **self.facts}


def document(
    what: str,
    *,
    node: str,
    versions: Mapping[str, str],
    began: datetime,
    figures: Mapping[str, float],
    findings: Sequence[Finding],
    ended: datetime | None = None,
    verdict: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return the document of a run that began at `began` and ended at `ended`, or now.

    Without a verdict of its own it is `sound` exactly where nothing was found.
    """
    ended = ended or datetime.now(UTC)
    return {
        "what": what,
        "verdict": verdict or ("damaged" if findings else "sound"),
        "node": node,
        "versions": dict(versions),
        "started_at": began.isoformat(timespec="milliseconds"),
        "ended_at": ended.isoformat(timespec="milliseconds"),
        "seconds": round((ended - began).total_seconds(), 3),
        "figures": dict(figures),
        "findings": [finding.as_json() for finding in findings],
        **more,
    }
