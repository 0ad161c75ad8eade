"""What the runbooks of backups and restores say to do is done, on a cluster where nothing is wrong.

Page by page, each command in its order; one that an earlier page had is not done again. What they
say to look at is run by tests/ops/cluster/test_6_manual.py, their SQL by tests/db.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.ops.alerts.causes.common import others
from tests.ops.cluster.harness import Cluster
from tests.runbooks import BACKUPS, section
from tests.waiting import wait_until

COMMAND = re.compile(r"\.venv/bin/guestcomms ([a-z][^`\n]*)")
LABEL, MOMENT, COPY = "20260131-010000F", "2026-01-31 12:00+00", "drill_20260131_023000_000000"
"""Examples in the pages."""
ASKS = {"up", "rotate"}


def acts(page: str) -> list[str]:
    """The commands of a page that change something or look deeper."""
    return COMMAND.findall(section(page, "Act"))


@pytest.fixture(scope="module")
def done(cluster: Cluster) -> Iterator[set[str]]:
    """The commands that were run; at the end the cluster is whole."""
    for _ in range(2):  # pgBackRest keeps the last full backup, whoever wants it expired
        cluster.run("backup", "run", "full", "--wait")
    yield set()
    cluster.wait_healthy()


def test_the_pages_have_commands() -> None:
    assert {page for page in BACKUPS if not acts(page)} == {"RepositoryNearlyFull", "WalGapInPast"}


@pytest.mark.parametrize("page", BACKUPS)
def test_what_a_page_says_to_do(cluster: Cluster, done: set[str], page: str) -> None:
    """On the machines that are now what the page takes pg-1 and pg-2 for."""
    leader, standby = cluster.leader, others(cluster)[0]
    for command in acts(page):
        if command in done:
            continue
        done.add(command)
        words = [place(cluster, word) for word in shlex.split(command)]
        words = [{"pg-1": leader, "pg-2": standby}.get(word, word) for word in words]
        result = cluster.run(*words, *(["--yes"] if words[0] in ASKS else []), ok=False)
        said = result.stdout + result.stderr
        # The audit finds the hole that test_4_cluster.py made, before the newest backup.
        allowed = (0, 6) if "audit-wal" in words else (0,)
        assert result.returncode in allowed, f"{words}: {said}"
        assert "Traceback" not in said
    cluster.wait_healthy()
    backups_are_idle(cluster)


def place(cluster: Cluster, word: str) -> str:
    """What stands in a page as an example, as this cluster has it."""
    if word == MOMENT:
        return f"{datetime.now(UTC):%F %T}+00"
    if word == COPY:
        return str(cluster.json("restore", "drill", "--keep")["drill_id"])
    if LABEL in word:
        full = [
            str(one["label"])
            for one in cluster.json("backup", "list", "--limit", "100")
            if (one["backup_type"], one["status"]) == ("full", "completed")
        ]
        return word.replace(LABEL, min(full))
    return word


def backups_are_idle(cluster: Cluster) -> None:
    """Wait until no backup is requested or runs: the next page asks for its own."""
    under_way = (
        "SELECT count(*) FROM communication_backups WHERE status IN ('requested', 'running')"
    )
    wait_until(lambda: cluster.query(under_way, "--role", "ops") == [(0,)], 300, poll_seconds=2)
