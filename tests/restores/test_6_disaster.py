"""All machines and their disks are gone, state and keys with them; the backup store is left.

Escrow is what remains beside it. Writers went through the front door until the end; what was
acknowledged to them, and at which place of the write-ahead log, is recorded outside the database.
The last file of the folder: the cluster that comes back is another one, with state and passwords of
its own.
"""

from __future__ import annotations

import json
import random
import secrets
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from guestcomms import paths

from infra.agent.pgbackrest import position
from tests.ops.alerts.causes.common import superuser
from tests.ops.cluster import writer
from tests.ops.cluster.harness import Cluster
from tests.ops.cluster.writer import Ack, Writers
from tests.restores.archive import SEGMENT_BYTES, end, segments, walk
from tests.restores.judgement import archived
from tests.restores.people import application, claimed, found, invite, queue
from tests.waiting import wait_until

WRITERS = 8
ARCHIVED = 3
"""Segments that reach the archive while writers write, before everything burns."""
UNLUCKY = 30.0
"""Then it burns within so many seconds, at random: archiving goes by a clock of that length."""
MOST_LOST = 60.0
STORE = "store-1"


@dataclass(frozen=True)
class Fire:
    """What is known of the cluster that was, outside of it.

    Attributes: `acks`, acknowledged writes; `at`, when it burned (Unix time); `first`, the segment
    that the writers began in; `guest`, who has a message in the queue.
    """

    acks: list[Ack]
    at: float
    first: str
    guest: str
    escrow: Path
    per_second: float


@pytest.fixture(scope="module")
def fire(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Fire:
    """Keys are in escrow, writers write, a message waits; everything burns but the store's disk."""
    folder = tmp_path_factory.mktemp("outside")
    escrow, journal = folder / "escrow", folder / "acks"
    cluster.run("secrets", "export", str(escrow))
    ours = found(cluster)
    guest = f"Guest {secrets.token_hex(3)}"
    with application(cluster) as app:
        queue(app, ours, list(invite(app, ours, [guest]).values()))
    for statement in (writer.DROP, writer.CREATE):
        cluster.query(statement, "--role", "migrator", "--direct")
    leader = cluster.leader
    with Writers(cluster.dsn("--role", "app"), WRITERS, journal) as writers:
        writers.wait_for(400, 60)
        first = superuser(cluster, leader, "SELECT pg_walfile_name(pg_switch_wal())")
        wait_until(lambda: behind(cluster, leader, first) >= ARCHIVED, 300, poll_seconds=1)
        time.sleep(random.uniform(0, UNLUCKY))  # noqa: S311
        at = burn(cluster, leader)
    assert cluster.objects() == [store_volume(cluster)]
    record = writers.record
    return Fire(
        acks=writer.read_journal(journal), at=at, first=first, guest=guest, escrow=escrow,
        per_second=len(record.acked) / record.seconds,
    )  # fmt: skip


def behind(cluster: Cluster, leader: str, first: str) -> int:
    """How many segments behind `first` the archive has without a hole."""
    there = segments(cluster, leader)
    return (end(walk(there, first)) - end(first)) // SEGMENT_BYTES if first in there else -1


def burn(cluster: Cluster, leader: str) -> float:
    """Kill every machine at once, remove it with its disks; return when. The store's disk stays."""
    label: dict[str, str | list[str] | bool] = {"label": f"guestcomms.stack={cluster.stack}"}
    machines = cluster.docker.containers.list(all=True, filters=label)
    machines.sort(key=lambda one: one.labels["guestcomms.machine"] != leader)
    at = time.time()
    with ThreadPoolExecutor(len(machines)) as pool:
        list(pool.map(lambda one: one.kill(), machines))
    for machine in machines:
        machine.remove(force=True, v=True)
    for volume in cluster.docker.volumes.list(filters=label):
        if volume.name != store_volume(cluster):
            volume.remove()
    for network in cluster.docker.networks.list(filters=label):
        network.remove()
    return at


def store_volume(cluster: Cluster) -> str:
    label = [f"guestcomms.stack={cluster.stack}", f"guestcomms.machine={STORE}"]
    (volume,) = cluster.docker.volumes.list(filters={"label": label})
    return str(volume.name)


def new_stack(cluster: Cluster, folder: Path) -> None:
    """The state is lost with its passphrase and all that was derived from it."""
    folder.mkdir()
    cluster.file.unlink()
    shutil.rmtree(paths.stack_directory(cluster.stack))
    cluster.environment["PULUMI_BACKEND_URL"] = folder.as_uri()
    cluster.environment["PULUMI_CONFIG_PASSPHRASE"] = secrets.token_urlsafe(16)
    cluster.configure(bootstrap="restore")


def test_without_the_keys_nobody_can_read_the_backups(
    cluster: Cluster, fire: Fire, tmp_path: Path
) -> None:
    """Said at once; then the stack goes, as docs/how-to/recover-lost-keys.md tells."""
    new_stack(cluster, tmp_path / "state")
    done = cluster.run("up", "--yes", ok=False)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert "encrypted with another cipher passphrase than this stack has" in said
    assert "nobody can read them without it" in said
    late = cluster.run("secrets", "import", str(fire.escrow), ok=False)
    assert late.returncode == 5
    assert "holds other keys than escrow" in " ".join(late.stderr.split())
    cluster.run("down", "--keep-backups", "--yes")
    cluster.pulumi("stack", "rm", "--force", "--yes", "--preserve-config")
    assert cluster.objects() == [store_volume(cluster)]


def test_what_was_archived_comes_back_with_the_keys_from_escrow(
    cluster: Cluster, fire: Fire
) -> None:
    began = time.monotonic()
    cluster.run("secrets", "import", str(fire.escrow))
    up = cluster.json("up", "--yes")
    seconds = time.monotonic() - began
    rows = writer.rows(cluster.dsn("--role", "app", "--direct"))
    last = walk(segments(cluster, cluster.leader), fire.first)
    reached = recovered_to(cluster, cluster.leader)
    must, never = archived(fire.acks, end(last))
    present = [one for one in fire.acks if one.key in rows]
    newest = max(one.at for one in present)
    measured = {
        "burned_at": datetime.fromtimestamp(fire.at, UTC).isoformat(timespec="seconds"),
        "acknowledged": len(fire.acks),
        "per_second": round(fire.per_second),
        "archive_ended_with": last,
        "recovered_to": reached,
        "must_be_there": len(must),
        "of_those_missing": len(must - set(rows)),
        "doubled": len([key for key, times in rows.items() if times > 1]),
        "came_back": len(present),
        "lost_with_the_last_seconds": len(fire.acks) - len(present),
        "seconds_lost": round(fire.at - newest, 1),
        "seconds": round(seconds, 1),
        "stages": up["stages"],
    }
    paths.evidence("disaster").write_text(json.dumps(measured, indent=1) + "\n")
    assert must
    assert must <= set(rows)
    assert not never & set(rows)  # that would be a fault of this judgement
    assert measured["doubled"] == 0
    assert fire.at - newest <= MOST_LOST
    assert end(last) - SEGMENT_BYTES < position(reached) <= end(last)
    assert cluster.json("status")["healthy"] is True


def recovered_to(cluster: Cluster, leader: str) -> str:
    """Where the timeline of now began: the last line of its history."""
    segment = superuser(cluster, leader, "SELECT pg_walfile_name(pg_current_wal_lsn())")
    history = f"/var/lib/postgresql/17/wedsync/pg_wal/{segment[:8]}.history"
    return cluster.on(leader, f"grep . {history} | tail -1").split("\t")[1]


def test_nothing_is_sent_before_somebody_lets_it(cluster: Cluster, fire: Fire) -> None:
    """The old data is gone: nobody can tell what was sent in the last seconds."""
    state = "SELECT frozen, reason, facts_due FROM internal.sending_state"
    assert cluster.query(state, "--role", "ops") == [(True, "restored from a backup", False)]
    assert claimed(cluster) == []
    cluster.run("restore", "thaw", "--yes")
    assert fire.guest in claimed(cluster)


def test_the_keys_are_those_of_before(cluster: Cluster, fire: Fire) -> None:
    """And backups go on, in the same repository."""
    cluster.run("secrets", "check", str(fire.escrow))
    states = cluster.query("SELECT DISTINCT state FROM encryption_status()", "--role", "ops")
    assert states == [("ok",)]
    assert cluster.json("backup", "run", "incremental", "--wait")["status"] == "completed"
    assert cluster.json("restore", "drill")["verdict"] == "proven"
