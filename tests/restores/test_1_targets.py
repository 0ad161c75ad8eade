"""A restore ends exactly where it was told to, on both sides of a failover, and soon.

Which rows must be there and which must not is known outside the database, from when they were
committed: before a moment, behind it, on the old leader's timeline, on the new one's.
"""

from __future__ import annotations

import json
import time
from statistics import median

import pytest
from guestcomms import paths

from tests.ops.alerts.causes.common import superuser
from tests.ops.cluster.harness import Cluster
from tests.restores.points import Moment, between, names
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("story")  # its target is older than all of this

FIRST, SECOND, THIRD, FOURTH = (f"{name} {time.time_ns()}" for name in "ABCD")
TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
FIGURES = (
    "target_type", "restored_bytes", "archived_seconds", "restore_seconds", "recovery_seconds",
    "total_seconds",
)  # fmt: skip
RATIO = 1.5
GUESTS = 300_000
"""Rows of the drills that are measured: a database of tens of megabytes measures its own start."""
FILL = (
    "INSERT INTO public.guests (organization_id, external_id, name, email, email_hash)"
    " SELECT organization_id, n::text, 'Guest ' || n, 'g' || n || '@example.org',"
    f" sha256(n::text::bytea) FROM generate_series(1, {GUESTS}) AS n,"
    f" (SELECT organization_id FROM public.organizations WHERE name = '{FIRST}') AS one"
)


@pytest.fixture(scope="module")
def moments(cluster: Cluster) -> tuple[str, Moment, Moment]:
    """A timeline; a moment between two commits on it, and one between two of the next leader's."""
    # A transaction is found by the canaries that the clock writes, every minute.
    canary = "SELECT count(*) FROM internal.canaries"
    wait_until(lambda: int(superuser(cluster, cluster.leader, canary)) > 0, 120, poll_seconds=1)
    before = between(cluster, FIRST, SECOND)
    old = cluster.leader
    timeline = superuser(cluster, old, TIMELINE)
    container = cluster.container(old)
    container.kill()
    try:
        wait_until(lambda: leads(cluster) not in (None, old), 90, poll_seconds=0.5)
        wait_until(lambda: answers(cluster), 60, poll_seconds=0.5)
        behind = between(cluster, THIRD, FOURTH)
    finally:
        container.start()
    cluster.wait_healthy(300)
    assert superuser(cluster, cluster.leader, TIMELINE) > timeline
    return timeline, before, behind


def leads(cluster: Cluster) -> str | None:
    found = cluster.health()["leader"]
    return str(found) if found else None


def answers(cluster: Cluster) -> bool:
    return cluster.run("psql", "--role", "ops", "--", "-c", "SELECT 1", ok=False).returncode == 0


CASES = [
    # side, kind, inclusive, and the rows that must be there
    ("before", "name", True, {FIRST}),
    ("before", "time", True, {FIRST}),
    ("before", "lsn", False, {FIRST}),
    ("before", "xid", True, {FIRST}),
    ("before", "xid", False, set[str]()),
    ("behind", "name", True, {FIRST, SECOND, THIRD}),
    ("behind", "time", True, {FIRST, SECOND, THIRD}),
    ("behind", "time", False, {FIRST, SECOND, THIRD}),
    ("behind", "lsn", True, {FIRST, SECOND, THIRD}),
    ("behind", "lsn", False, {FIRST, SECOND, THIRD}),
    ("behind", "xid", True, {FIRST, SECOND, THIRD}),
    ("behind", "xid", False, {FIRST, SECOND}),
]


@pytest.mark.parametrize(
    ("side", "kind", "inclusive", "expected"),
    CASES,
    ids=[
        f"{side}-{kind}-{'inclusive' if with_it else 'exclusive'}"
        for side, kind, with_it, _ in CASES
    ],
)
def test_a_drill_ends_at_its_target_across_a_failover(
    cluster: Cluster, moments: tuple[str, Moment, Moment], side: str, kind: str, inclusive: bool,
    expected: set[str],
) -> None:  # fmt: skip
    """From a backup of the timeline before it: there is no other."""
    timeline, *sides = moments
    moment = sides[side == "behind"]
    exclusive = () if inclusive else ("--exclusive",)
    done = cluster.json("restore", "drill", "--keep", "--to", moment.target(kind), *exclusive)
    try:
        assert done["verdict"] == "proven", done["findings"]
        first_log = f"SELECT wal_start FROM communication_backups WHERE label = '{done['label']}'"
        assert superuser(cluster, cluster.leader, first_log).startswith(timeline)
        assert names(cluster, done["drill_id"]) & {FIRST, SECOND, THIRD, FOURTH} == expected
    finally:
        cluster.run("restore", "release", done["drill_id"])


def test_drills_take_little_longer_than_pgbackrest_alone(cluster: Cluster) -> None:
    """Until the copy is open at its target, each of them; the whole drill stands beside it."""
    superuser(cluster, cluster.leader, FILL)
    filled = cluster.json("backup", "run", "full", "--wait")["label"]
    for _ in range(3):
        assert cluster.json("restore", "drill")["verdict"] == "proven"
    drills = [
        one
        for one in cluster.json("restore", "history", "--limit", "100")
        if one["verdict"] == "proven"
    ]
    ratios: dict[str, list[float]] = {"as made": [], "filled": []}
    totals: dict[str, list[float]] = {"as made": [], "filled": []}
    for one in drills:
        whose = "filled" if one["label"] == filled else "as made"
        ratios[whose].append(one["recovery_seconds"] / one["restore_seconds"])
        totals[whose].append(one["total_seconds"] / one["restore_seconds"])
    most = {whose: max(values) for whose, values in ratios.items()}
    measured = {
        "drills": [{name: one[name] for name in FIGURES} for one in drills],
        "median": {whose: median(values) for whose, values in ratios.items()},
        "most": most,
        "everything": {whose: [median(values), max(values)] for whose, values in totals.items()},
    }
    paths.evidence("drill-ratio").write_text(json.dumps(measured, indent=1) + "\n")
    assert len(ratios["as made"]) >= len(CASES)
    assert len(ratios["filled"]) == 3
    assert all(value <= RATIO for value in most.values()), measured
