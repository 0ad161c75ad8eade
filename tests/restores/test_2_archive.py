"""How much would be lost if everything burned, at any moment, also while the store is gone.

Writers go through the front door; what was acknowledged to them, and when, is recorded outside
the database. The bucket is versioned: pgBackRest restores it as it was at a moment of the past,
which is what would have been left if everything else had burned then.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from guestcomms import paths

from tests.ops.alerts import record
from tests.ops.alerts.causes.common import superuser
from tests.ops.cluster import writer
from tests.ops.cluster.harness import Cluster
from tests.ops.cluster.writer import Writers
from tests.restores.archive import segments, walk
from tests.restores.judgement import Burned, burned
from tests.waiting import wait_until

MOST_LOST = 60.0
"""R5: seconds of writes."""
MOMENTS = 6
APART = (5.0, 40.0)
"""Seconds from one moment to the next, at random: archiving goes by a clock of 30 s."""
RATES = {"slow": (1, 1.0), "fast": (8, writer.PAUSE_SECONDS)}
"""How many writers there are, and how long each pauses between two writes."""
GONE_SECONDS = 300
OWNER = ("--role", "migrator", "--direct")
WAITING = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"
ALERTS = ("ArchivingFailing",)
COPY = """
import json, sys
sys.path.insert(0, "/opt/guestcomms/agent.pyz")
from pathlib import Path
from infra.agent.copies import Copy
from infra.agent.run import run
at, home = sys.argv[1], Path("/var/lib/postgresql/burned")
asked = ["pgbackrest", "--stanza=wedsync", f"--pg1-path={home}/data", "--repo=1",
         f"--repo-target-time={at}"]
copy = Copy.over(home / "data", "copy", "wedsync", "wedsync", home)
(home / "data").mkdir(mode=0o700)
done = run([*asked, "--type=default", "--archive-mode=off", "--no-delta", "restore"], timeout=600)
assert done.status == 0, done.stderr
get = " ".join(f"'{word}'" for word in [*asked, "--no-archive-async"])
copy.start(restore_command=f'{get} archive-get %f "%p"')
try:
    copy.wait(lambda: None)
    with copy.connect() as connection:
        rows = connection.execute(
            "SELECT writer, max(number), count(*) - count(DISTINCT number), ARRAY("
            "SELECT generate_series(1, max(number)) EXCEPT SELECT number FROM public.write_ledger"
            " AS other WHERE other.writer = ledger.writer)"
            " FROM public.write_ledger AS ledger GROUP BY writer"
        ).fetchall()
    print(json.dumps([rows, copy.reached().lsn]))
finally:
    copy.halt()
"""


@pytest.fixture(scope="module")
def ledger(cluster: Cluster) -> Iterator[None]:
    """The table of the writers."""
    for statement in (writer.DROP, writer.CREATE):
        cluster.query(statement, *OWNER)
    yield
    cluster.query(writer.DROP, *OWNER)


@pytest.mark.usefixtures("ledger")
def test_at_most_a_minute_is_lost_whenever_everything_burns(
    cluster: Cluster, tmp_path: Path
) -> None:
    found: list[Burned] = []
    for number, (rate, (count, pause)) in enumerate(RATES.items()):
        journal = tmp_path / rate
        first = 100 * number + 1
        app = cluster.dsn("--role", "app")
        with Writers(app, count, journal, first=first, pause=pause) as writers:
            writers.wait_for(2 * count, 60)
            time.sleep(MOST_LOST)  # something has to lie behind the first moment
            moments = []
            for _ in range(MOMENTS):
                time.sleep(random.uniform(*APART))  # noqa: S311
                moments.append(int(time.time()))
        acks = writer.read_journal(journal)
        for moment in moments:
            at = f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}+00"
            # A version of second n was stored before n + 1.
            found.append(burned(rate, moment + 1, copied(cluster, at), acks))
    measured = {"burned": [vars(one) for one in found], "most": max(one.age for one in found)}
    paths.evidence("loss").write_text(json.dumps(measured, indent=1) + "\n")
    assert all(max(one.age, one.span) <= MOST_LOST for one in found), found
    assert any(one.lost for one in found)  # a copy of now would have everything


def copied(cluster: Cluster, at: str) -> Any:
    """What a copy has of the repository as it was at a moment, to the end of its archive."""
    home = "/var/lib/postgresql/burned"
    try:
        said = cluster.on(
            "drill-1",
            f"install -d -o postgres -g postgres -m 700 {home} && cd {home} &&"
            f" runuser -u postgres -- python3 - '{at}' <<'END'\n{COPY}END",
        )
    finally:
        cluster.on("drill-1", f"rm -rf {home}")
    return json.loads(said.splitlines()[-1])


@pytest.mark.usefixtures("ledger")
def test_a_store_that_is_gone_for_five_minutes_loses_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    leader, store = cluster.leader, cluster.container("store-1")
    journal = tmp_path / "acks"
    with Writers(cluster.dsn("--role", "app"), 8, journal, first=1001) as writers:
        writers.wait_for(400, 60)
        first = switched(cluster, leader)
        began = datetime.now(UTC)
        store.kill()
        fired = record.seconds_until(cluster, ALERTS, "firing", began, GONE_SECONDS)
        left = GONE_SECONDS - (datetime.now(UTC) - began).total_seconds()
        time.sleep(max(0.0, left))
        waiting = int(superuser(cluster, leader, WAITING))
        store.start()
        back = datetime.now(UTC)
        last = switched(cluster, leader)
        wait_until(lambda: last in segments(cluster, leader), 600, poll_seconds=1)
        caught_up = (datetime.now(UTC) - back).total_seconds()
    cleared = record.seconds_until(cluster, tuple(fired), "resolved", back, 900)
    assert cluster.leader == leader  # the timeline is the same, and so are the segments' names
    assert walk(segments(cluster, leader), first) >= last
    acks = writer.read_journal(journal)
    rows = writer.rows(cluster.dsn("--role", "app", "--direct"))
    measured = {
        "gone_seconds": GONE_SECONDS,
        "acknowledged": len(acks),
        "longest_gap_seconds": round(writers.record.longest_gap, 2),
        "segments_waiting": waiting,
        "caught_up_seconds": round(caught_up, 1),
        "alerts_after_seconds": fired,
        "cleared_after_seconds": cleared,
    }
    paths.evidence("store-gone").write_text(json.dumps(measured, indent=1) + "\n")
    assert {one.key for one in acks} <= set(rows)
    assert [key for key, times in rows.items() if times > 1] == []
    assert set(fired) == set(ALERTS), measured
    assert set(cleared) == set(ALERTS), measured
    cluster.run("backup", "audit-wal")
    assert cluster.json("restore", "drill")["verdict"] == "proven"


def switched(cluster: Cluster, leader: str) -> str:
    """Close the segment that is written, and return its name."""
    return superuser(cluster, leader, "SELECT pg_walfile_name(pg_switch_wal())")
