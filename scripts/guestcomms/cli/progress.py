"""Stages of long work: shown while they run, and kept as evidence with their wall times."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from guestcomms import paths
from guestcomms.cli.common import progress


@dataclass(frozen=True)
class Stage:
    """One stage that has ended."""

    name: str
    seconds: float
    outcome: str


@dataclass
class Stages:
    """The stages of one run; `evidence` names the file under .state/evidence that keeps them."""

    evidence: str
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    ended: list[Stage] = field(default_factory=list)

    @classmethod
    def going_on(cls, evidence: str, started_at: str, ended: Iterable[Mapping[str, Any]]) -> Self:
        """The stages of a run that was interrupted, perhaps elsewhere: more are added to them."""
        return cls(evidence, started_at, [Stage(**stage) for stage in ended])

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and say when it begins and how it ended; errors pass through."""
        progress.print(f"[bold]▸ {name}[/bold]")
        start, outcome = time.monotonic(), "failed"
        try:
            yield
            outcome = "done"
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        finally:
            stage = Stage(name, round(time.monotonic() - start, 2), outcome)
            self.ended.append(stage)
            self._write()
            mark = "[green]✓[/green]" if outcome == "done" else f"[red]✗ {outcome}[/red]"
            progress.print(f"{mark} {name} [dim]{stage.seconds:.1f} s[/dim]")

    @property
    def total_seconds(self) -> float:
        """Wall time of all stages so far."""
        return round(sum(stage.seconds for stage in self.ended), 2)

    def as_json(self) -> dict[str, object]:
        """The run for programs."""
        return {
            "started_at": self.started_at,
            "total_seconds": self.total_seconds,
            "stages": [asdict(stage) for stage in self.ended],
        }

    def _write(self) -> None:
        paths.evidence(self.evidence).write_text(json.dumps(self.as_json(), indent=2) + "\n")
