"""What makes alerts fire: real causes on a running cluster, each with its undoing.

One module for each file of rules.
"""

from __future__ import annotations

from tests.ops.alerts.causes import (
    availability,
    backups,
    messaging,
    monitoring,
    replication,
    storage,
    traffic,
)
from tests.ops.alerts.causes.common import Cause

__all__ = ["CAUSES", "Cause"]

CAUSES: tuple[Cause, ...] = (
    *availability.CAUSES,
    *monitoring.CAUSES,
    *traffic.CAUSES,
    *messaging.CAUSES,
    *replication.CAUSES,
    *storage.CAUSES,
    *backups.CAUSES,
)
