"""All restores as the ledger tells them: beside the cluster, and of the cluster itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from guestcomms import db, drills, hints
from guestcomms.drills import Drill
from guestcomms.errors import GuestcommsError


class ClusterRestore(BaseModel):
    """A row of `communication_cluster_restores`; `evidence` is its document, once it is done.

    The database does not come from one that was undone, which has nothing but its document.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    restore_id: str
    target_type: str
    target: str
    inclusive: bool
    label: str
    reached_lsn: str | None
    reached_time: datetime | None
    abandoned_timeline: int | None
    abandoned_at: datetime | None
    restored_at: datetime
    facts: dict[str, Any] | None
    facts_applied_at: datetime | None
    undone_at: datetime | None
    evidence: dict[str, Any] | None

    @property
    def verdict(self) -> str:
        """`restored` or `undone`, or `under way` while there is no document."""
        return str(self.evidence["verdict"]) if self.evidence else "under way"

    @property
    def seconds(self) -> float | None:
        """What its steps took together, without the time in which nobody was at it."""
        return float(self.evidence["figures"]["stages_seconds"]) if self.evidence else None


def newest(connection: db.Connection, limit: int = 20) -> list[Drill | ClusterRestore]:
    """The newest restores of both kinds, newest first."""
    both: list[tuple[datetime, Drill | ClusterRestore]] = [
        *((one.requested_at, one) for one in drills.newest(connection, limit)),
        *((one.restored_at, one) for one in _of_the_cluster(connection, limit)),
    ]
    both.sort(key=lambda one: one[0], reverse=True)
    return [one for _, one in both[:limit]]


def find(connection: db.Connection, restore_id: str, stack: str) -> ClusterRestore:
    """A restore of the cluster by its id. Raises `GuestcommsError` if there is none."""
    query = "SELECT * FROM public.communication_cluster_restores WHERE restore_id = %s"
    rows = db.rows(connection, query, [restore_id])
    if not rows:
        raise GuestcommsError(
            f"There is no restore {restore_id}; see {hints.command('restore history', stack)}."
        )
    return ClusterRestore.model_validate(rows[0])


def _of_the_cluster(connection: db.Connection, limit: int) -> list[ClusterRestore]:
    query = "SELECT * FROM public.communication_cluster_restores ORDER BY restored_at DESC LIMIT %s"
    return [ClusterRestore.model_validate(row) for row in db.rows(connection, query, [limit])]
