"""Migrations: what brings a database to what the tree says, and tells how far it is.

What this module exports is for everybody; the modules behind it
are one stage each (see `harness`).
"""

from __future__ import annotations

from guestcomms.migrate.blockers import Tell
from guestcomms.migrate.harness import (
    Plan,
    Run,
    apply,
    be_silent,
    new,
    plan,
    rollback,
    rollback_plan,
    write_sums,
)
from guestcomms.migrate.losses import losses
from guestcomms.migrate.project import Project
from guestcomms.migrate.session import Patience

__all__ = [
    "Patience",
    "Plan",
    "Project",
    "Run",
    "Tell",
    "apply",
    "apply_all",
    "be_silent",
    "losses",
    "new",
    "pending_migrations",
    "plan",
    "rollback",
    "rollback_plan",
    "write_sums",
]


def apply_all(dsn: str, tell: Tell = be_silent) -> list[str]:
    """Apply everything; returns the paths of the files that were applied. Raises as `apply`."""
    run = apply(dsn, tell=tell)
    return [*run.migrations, *run.repeatables]


def pending_migrations(dsn: str) -> list[str]:
    """Paths of the files that `apply` would apply now, functions and policies too."""
    return plan(dsn).to_apply
