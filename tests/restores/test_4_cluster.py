"""The whole cluster goes back to a moment, and nobody is written to twice or against their will.

One story on a real cluster, its tests in order; it begins before all other tests of this folder,
which go on in between (story.py). What must be there and what must not is recorded outside the
database.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from guestcomms import paths

from tests.ops.alerts.causes.common import others, superuser
from tests.ops.cluster.harness import GUESTCOMMS, ROOT, Cluster, CommandFailedError
from tests.restores.archive import segments
from tests.restores.people import claimed
from tests.restores.story import EACH, Story, insert, live_on, rows
from tests.waiting import wait_until

FIRST = "test_1_targets.py"
"""It asks for the story, too: it runs an hour before this file, if both do."""
HOUR = 3600.0
AFTERWARDS = {
    "nothing": "sent", "unsubscribed": "suppressed", "withdrew": "suppressed",
    "erased": "suppressed", "sent": "sent", "in hand": "unknown",
}  # fmt: skip
"""What becomes of the message that waited at the target."""
WITHIN = (
    "Freeze sending", "Stop the cluster", "Move the old data aside", "Read what was decided",
    "Restore", "is being restored", "Tell the restored database", "Make the standbys anew",
    "Take a full backup",
)  # fmt: skip
"""What a restore says at the begin of each step, and in the middle of the longest."""
UNDONE = (
    "Stop the cluster", "Read what was decided", "Tell the restored database", "Take a full backup",
    "",
)  # fmt: skip
"""Steps that undoing is not tried at elsewhere, by what is said when they are done."""
DATA, COPIES = "/var/lib/postgresql/17", "/var/lib/postgresql/drill"
ASIDE = "/run/aside"
FROZEN = "SELECT frozen FROM internal.sending_state"
TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether the folder runs from its first file on: the target is to be an hour old then."""
    return any(item.path.name == FIRST for item in request.session.items)


def refusal(cluster: Cluster, *arguments: str) -> str:
    done = cluster.run("restore", "cluster", *arguments, "--yes", ok=False)
    assert done.returncode not in (0, 1), done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def going(cluster: Cluster, *arguments: str) -> subprocess.Popen[str]:
    """A restore that runs beside us."""
    return subprocess.Popen(
        [str(GUESTCOMMS), "--stack", cluster.stack, "restore", *arguments, "--yes"],
        env=cluster.environment, cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        # A job in the background of a shell ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip


def interrupted(cluster: Cluster, step: str, *arguments: str) -> None:
    """Begin or go on, and Ctrl-C once a step is done."""
    run = going(cluster, "cluster", *arguments)

    def is_there() -> bool:
        assert run.poll() is None, run.stdout.read() if run.stdout else ""
        said = cluster.json("restore", "cluster", "--status")
        return said is not None and said["step"] == step

    wait_until(is_there, 600, lambda: cluster.json("restore", "cluster", "--status"))
    run.send_signal(signal.SIGINT)
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 130, said


def interrupted_within(cluster: Cluster, words: str, *arguments: str) -> None:
    """Go on, and Ctrl-C as soon as these words are said."""
    interrupted_saying(words, going(cluster, "cluster", *arguments))


def interrupted_saying(words: str, run: subprocess.Popen[str]) -> None:
    """Ctrl-C as soon as these words are said."""
    assert run.stdout is not None
    said = []
    for line in run.stdout:
        said.append(line)
        if words in line:
            break
    else:
        raise AssertionError(f"it never said {words!r}: {said}")
    run.send_signal(signal.SIGINT)
    rest, _ = run.communicate(timeout=120)
    assert run.returncode == 130, "".join([*said, rest])


@contextmanager
def little_room(cluster: Cluster, machine: str, folder: str, *keep: str) -> Iterator[None]:
    """A folder becomes a disk of 64 MiB, with what is kept of it mounted where it was."""
    inside = [f"{folder}/{one}" for one in keep]
    cluster.on(
        machine,
        f"mkdir -p {ASIDE} && mount --bind {folder} {ASIDE}"
        f" && mount -t tmpfs -o size=64m,mode=700,uid=$(id -u postgres) tmpfs {folder}"
        + "".join(f" && mkdir {it} && mount --bind {ASIDE}/{one} {it}"
                  for one, it in zip(keep, inside, strict=True)),
    )  # fmt: skip
    try:
        yield
    finally:
        cluster.on(machine, f"umount --lazy {' '.join([*inside, folder, ASIDE])}; rmdir {ASIDE}")


def test_the_plan_says_what_would_be_lost(cluster: Cluster, story: Story) -> None:
    plan = cluster.json("restore", "cluster", "--plan", "--to", f"{story.target:%F %T.%f}+00")
    assert plan["problems"] == []
    assert plan["missing"] == 0
    assert datetime.fromisoformat(plan["completed_at"]) < story.target
    assert plan["machine"] == cluster.leader
    assert plan["lost_seconds"] > 0
    assert cluster.json("restore", "cluster", "--status") is None


def test_what_cannot_work_is_refused_before_anything_is_done(
    cluster: Cluster, story: Story
) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    assert "has not come yet" in refusal(cluster, "--to", f"{soon:%F %T}+00")
    assert "before the first moment" in refusal(cluster, "--to", "2020-01-01 00:00:00+00")
    assert "without its zone" in refusal(cluster, "--to", f"{story.target:%F %T}")
    assert "no recovery point" in refusal(cluster, "--to", "name:never_made")
    assert "has not come yet" in refusal(cluster, "--to", "FFFF/0")
    [(coming,)] = cluster.query("SELECT pg_current_xact_id()::text::bigint + 1000")
    assert "has not ended yet" in refusal(cluster, "--to", f"xid:{coming}")
    assert "leave --exclusive out" in refusal(cluster, "--to", "name:never_made", "--exclusive")
    assert "No restore" in refusal(cluster, "--resume")
    done = cluster.run("restore", "cluster", "--to", f"{story.target:%F %T}+00", ok=False)
    assert done.returncode == 5  # nobody is there to ask
    assert cluster.json("restore", "cluster", "--status") is None
    assert rows(cluster) == {"before", "behind"}


def test_too_little_room_is_refused(cluster: Cluster, story: Story) -> None:
    """On the machine that would be restored, on one that is made anew from it, on the drill's."""
    target = f"{story.target:%F %T.%f}+00"
    for machine in (cluster.leader, others(cluster)[0]):
        with little_room(cluster, machine, DATA, "wedsync"):
            assert "which is kept; " in refusal(cluster, "--to", target)
    agent_anew = "systemctl restart guestcomms-agent"  # it sees the disks that were there before it
    with little_room(cluster, "drill-1", COPIES):
        cluster.on("drill-1", agent_anew)
        done = cluster.run("restore", "drill", ok=False)
        assert done.returncode == 1, done.stdout  # no verdict
        assert "does not fit into the" in " ".join((done.stdout + done.stderr).split())
    cluster.on("drill-1", agent_anew)
    assert cluster.json("restore", "cluster", "--plan", "--to", target)["problems"] == []
    assert cluster.json("restore", "cluster", "--status") is None
    assert rows(cluster) == {"before", "behind"}


def test_it_can_be_undone_in_the_middle(cluster: Cluster, story: Story) -> None:
    """Interrupted when the old data is aside and read; undone, nothing is lost."""
    before = cluster.query(TIMELINE, "--role", "ops")
    interrupted(cluster, "facts", "--to", f"{story.target:%F %T.%f}+00")
    assert "under way" in refusal(cluster, "--to", f"{story.target:%F %T.%f}+00")
    cluster.run("restore", "cluster", "--abort", "--yes")
    cluster.wait_healthy()
    assert rows(cluster) == {"before", "behind"}
    assert cluster.query(TIMELINE, "--role", "ops") > before
    assert cluster.json("restore", "cluster", "--status") is None
    assert cluster.query(FROZEN, "--role", "ops") == [(False,)]
    insert(cluster, "after undoing")


def test_it_can_be_undone_before_the_old_data_is_aside(cluster: Cluster, story: Story) -> None:
    """Meanwhile the machines are its own, and agents obey nobody but who leads it."""
    target = f"{story.target:%F %T.%f}+00"
    interrupted_within(cluster, "Move the old data aside", "--to", target, "--no-copy")
    under_way = cluster.json("restore", "cluster", "--status")["restore_id"]
    for changes in (("up",), ("rotate", "certificates")):
        done = cluster.run(*changes, "--yes", ok=False)
        assert (done.returncode, under_way in done.stderr) == (5, True), done.stderr
    said = cluster.json("status", ok=False)
    states = {check["name"]: check["state"] for check in said["checks"]}
    assert states["restore of the cluster"] == "fail"
    late = f"restore-cluster discard --id {under_way} --holder 0123456789abcdef"
    with pytest.raises(CommandFailedError, match="led by somebody else"):
        cluster.on("pg-1", f"runuser -u postgres -- /opt/guestcomms/agent.pyz {late}")
    cluster.run("restore", "cluster", "--abort", "--yes")
    cluster.wait_healthy()
    assert rows(cluster) == {"before", "behind", "after undoing"}
    assert cluster.query(FROZEN, "--role", "ops") == [(False,)]


def test_it_can_be_undone_when_it_serves_and_a_machine_is_gone(
    cluster: Cluster, story: Story
) -> None:
    """Undoing is interrupted, goes on without the machine, and again once that is back."""
    target = f"{story.target:%F %T.%f}+00"
    interrupted_within(cluster, "Make the standbys anew", "--to", target, "--no-copy")
    restored = cluster.json("restore", "cluster", "--status")["machine"]
    gone = next(one for one in cluster.database_machines if one != restored)
    interrupted_within(cluster, "stopping", "--abort")
    assert "--abort" in refusal(cluster, "--resume")
    cluster.container(gone).stop()
    done = cluster.run("restore", "cluster", "--abort", "--yes", ok=False)
    assert (done.returncode, f"--without {gone}" in done.stderr) == (1, True), done.stderr
    cluster.run("restore", "cluster", "--abort", "--without", gone, "--yes")
    everything = {"before", "behind", "after undoing"}
    assert rows(cluster) == everything
    assert cluster.query(FROZEN, "--role", "ops") == [(False,)]
    cluster.container(gone).start()
    wait_until(lambda: "etcd" in cluster.on(gone, "pgrep -a etcd || true"), 120)
    cluster.run("restore", "cluster", "--abort", "--yes")
    assert cluster.json("restore", "cluster", "--status") is None
    cluster.wait_healthy()
    assert rows(cluster) == everything


@pytest.mark.parametrize("words", UNDONE, ids=lambda words: words or "the end")
def test_it_can_be_undone_at_any_step(cluster: Cluster, story: Story, words: str) -> None:
    """Said is what the next step is; nothing, when the restore has ended."""
    begin = ("--to", f"{story.target:%F %T.%f}+00", "--no-copy")
    if words:
        interrupted_within(cluster, words, *begin)
    else:
        cluster.run("restore", "cluster", *begin, "--yes")
        assert rows(cluster) == {"before"}
    cluster.run("restore", "cluster", "--abort", "--yes")
    cluster.wait_healthy()
    assert rows(cluster) == {"before", "behind", "after undoing"}
    assert cluster.query(FROZEN, "--role", "ops") == [(False,)]
    assert cluster.json("restore", "cluster", "--status") is None
    [undone] = cluster.json("restore", "history", "--limit", "1")
    assert (undone["verdict"], undone["evidence"]["machines"]) == (
        "undone",
        ["pg-1", "pg-2", "pg-3"],
    )


@pytest.mark.timeout(2 * HOUR)
def test_guests_decide_and_workers_send_until_the_target_is_old(
    cluster: Cluster, story: Story, whole: bool
) -> None:
    """The other half of them, an hour behind the target if the whole folder runs."""
    # The way back goes across a failover: the history of the new timeline goes back, too.
    leader = cluster.leader
    cluster.container(leader).kill()
    wait_until(lambda: cluster.health()["leader"] not in (None, leader), 90, poll_seconds=0.5)
    cluster.container(leader).start()
    cluster.wait_healthy(300)
    if whole:
        time.sleep(max(0.0, HOUR - story.age))
    live_on(cluster, story, "late")


def test_the_cluster_goes_back_to_the_target(cluster: Cluster, story: Story, whole: bool) -> None:
    """A person may look first; interrupted within each step, it goes on where it stands."""
    target = f"{story.target:%F %T.%f}+00"
    began = time.monotonic()
    looked = cluster.json("restore", "cluster", "--to", target, "--look", "--yes")
    assert looked["step"] == "copied"
    assert cluster.on("drill-1", "ls /var/lib/postgresql/drill").strip() == looked["drill_id"]
    assert rows(cluster) == {"before", "behind", "after undoing"}
    stopped = time.monotonic()
    age = story.age
    for words in WITHIN:
        interrupted_within(cluster, words, "--resume")
    cluster.run("restore", "cluster", "--resume", "--yes")
    ended = time.monotonic()
    record = cluster.json("restore", "cluster", "--status")
    story.restored = record["restore_id"]
    measured = {
        "copy_seconds": stopped - began,
        "switch_seconds": ended - stopped,
        "interrupted": len(WITHIN),
        "target_age_seconds": round(age),
    }
    paths.evidence("restore-cluster").write_text(json.dumps({**measured, "record": record}))
    assert age >= HOUR or not whole
    assert (record["step"], record["reached_lsn"]) == ("done", record["copy_lsn"])
    cluster.wait_healthy()
    assert rows(cluster) == {"before"}
    newest = cluster.query(
        "SELECT backup_type FROM communication_backups WHERE status = 'completed'"
        " ORDER BY completed_at DESC LIMIT 1", "--role", "ops",
    )  # fmt: skip
    assert newest == [("full",)]


def test_nobody_is_written_to_twice_or_against_their_will(
    cluster: Cluster, story: Story, whole: bool
) -> None:
    """Exactly those to whom nothing happened are given out, and nobody waits any more."""
    assert claimed(cluster) == []  # frozen
    cluster.run("restore", "thaw", "--yes")
    given = claimed(cluster)
    became = {
        one: (status, error)
        for one, status, error in cluster.query(
            "SELECT id::text, status, error_code FROM communication_recipients"
            f" WHERE organization_id = '{story.organization}'", "--role", "ops",
        )
    }  # fmt: skip
    file = paths.evidence("restore-cluster")
    figures = {"guests_of_each_fate": EACH, "given_out": len(given)}
    file.write_text(json.dumps({**json.loads(file.read_text()), **figures}))
    assert given == sorted(one.name for one in story.of("nothing"))
    waits = "SELECT count(*) FROM communication_batch_queue WHERE operation_type = 'send'"
    assert cluster.query(waits, "--role", "ops") == [(0,)]
    states = {one.name: became[one.waiting][0] for one in story.guests}
    assert states == {one.name: AFTERWARDS[one.fate] for one in story.guests}
    cut_off = {became[one.waiting][1] for one in story.of("in hand", "late")}
    assert cut_off == {"cluster_restored"}
    if whole:
        ended = {became[one.waiting][1] for one in story.of("in hand", "soon")}
        assert ended == {"lease_lost"}


def test_who_was_erased_is_erased_again(cluster: Cluster, story: Story) -> None:
    anonymous = (
        "SELECT guest_id::text FROM guests WHERE erased_at IS NOT NULL"
        " AND num_nonnulls(external_id, name, email, email_hash) = 0"
    )
    found = {str(row[0]) for row in cluster.query(anonymous, "--role", "ops")}
    assert found == {one.id for one in story.of("erased")}


def test_a_release_that_was_begun_can_only_go_on(cluster: Cluster, story: Story) -> None:
    """Some of the old data is gone: there is no way back, whoever presses Ctrl-C."""
    release = ("release", story.restored)
    interrupted_saying("deleting the old data on pg-2", going(cluster, *release))
    assert "restore release" in refusal(cluster, "--abort")
    assert "restore release" in refusal(cluster, "--resume")
    status = cluster.run("restore", "cluster", "--status").stdout
    assert "being released" in status
    assert rows(cluster) == {"before"}
    cluster.run("restore", *release, "--yes")
    assert cluster.json("restore", "cluster", "--status") is None


def test_a_moment_on_the_abandoned_timeline_is_refused(cluster: Cluster, story: Story) -> None:
    """Between target and switch the cluster has nothing, whatever the archive holds."""
    lost = story.target + timedelta(seconds=2)
    assert "was abandoned" in refusal(cluster, "--to", f"{lost:%F %T.%f}+00")


def test_nothing_of_the_old_data_is_left_after_its_release(cluster: Cluster) -> None:
    for machine in cluster.database_machines:
        assert cluster.on(machine, "ls /var/lib/postgresql/17").split() == ["wedsync"]
    assert cluster.json("status")["healthy"] is True
    assert cluster.json("restore", "drill")["verdict"] == "proven"


def test_a_place_behind_a_hole_is_refused(cluster: Cluster) -> None:
    leader = cluster.leader
    # A transaction is found by the canary before it, which has to be one since the newest backup.
    wait_until(lambda: planned(cluster, newest_transaction(cluster)), 180, poll_seconds=5)
    write = "SELECT pg_logical_emit_message(true, 'hole', ''), pg_walfile_name(pg_switch_wal())"
    lost, last = (superuser(cluster, leader, write).split("|")[1] for _ in range(2))
    wait_until(lambda: last in segments(cluster, leader), 120)
    # A file is there before PostgreSQL, which still counts it among those that wait, hears of it.
    heard = "SELECT last_archived_wal FROM pg_stat_archiver"
    wait_until(lambda: superuser(cluster, leader, heard) >= last, 120)
    behind = superuser(cluster, leader, "SELECT pg_current_wal_lsn()")
    repository = "runuser -u postgres -- pgbackrest --log-level-console=off"
    listed = cluster.on(leader, f"{repository} repo-ls --recurse archive/wedsync | grep {lost}-")
    assert cluster.json("restore", "cluster", "--plan", "--to", f"lsn:{behind}")["problems"] == []
    cluster.on(leader, f"{repository} repo-rm archive/wedsync/{listed.strip()}")
    assert lost not in segments(cluster, leader), listed
    assert "behind the hole" in refusal(cluster, "--plan", "--to", f"lsn:{behind}"), lost
    assert "behind the hole" in refusal(cluster, "--plan", "--to", newest_transaction(cluster))
    cluster.run("backup", "run", "full", "--wait")  # heals it: the next file goes to the end
    healed = superuser(cluster, leader, "SELECT pg_current_wal_lsn()")
    assert cluster.json("restore", "cluster", "--plan", "--to", f"lsn:{healed}")["problems"] == []


def newest_transaction(cluster: Cluster) -> str:
    """A transaction that has ended, as a target."""
    [(ended,)] = cluster.query("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1")
    return f"xid:{ended}"


def planned(cluster: Cluster, target: str) -> bool:
    """Whether nothing stands against that target."""
    plan = cluster.run("restore", "cluster", "--plan", "--to", target, ok=False)
    return plan.returncode == 0
