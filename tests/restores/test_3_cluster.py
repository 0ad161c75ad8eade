"""The whole cluster goes back to a moment, and nobody is written to twice or against their will.

One story on a real cluster, its tests in order. What must be there and what must not is recorded by
the test, outside the database.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from guestcomms import paths

from tests.ops.alerts.causes.common import superuser
from tests.ops.cluster.harness import GUESTCOMMS, ROOT, Cluster, CommandFailedError
from tests.restores.archive import segments
from tests.restores.people import CLAIM, address, application, claimed, found, invite, queue
from tests.waiting import wait_until

FATES = ("nothing", "unsubscribed", "withdrew", "erased", "sent", "in hand")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROW = f"Row {uuid.uuid4().hex[:6]}"
NAMES = f"SELECT replace(name, '{ROW} ', '') FROM organizations WHERE name LIKE '{ROW} %'"
WITHIN = (
    "Freeze sending", "Stop the cluster", "Move the old data aside", "Read what was decided",
    "Restore", "is being restored", "Tell the restored database", "Make the standbys anew",
    "Take a full backup",
)  # fmt: skip
"""What a restore says at the begin of each step, and in the middle of the longest."""
FROZEN = "SELECT frozen FROM internal.sending_state"
TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"


@dataclass
class Story:
    """Who is who, and when what was."""

    organization: str
    guests: dict[str, str] = field(default_factory=dict)
    target: datetime = EPOCH
    restored: str = ""


@pytest.fixture(scope="module")
def story(cluster: Cluster) -> Story:
    """A message was sent to everybody, another is queued; the target; then it goes on."""
    made = Story(organization=found(cluster))
    with application(cluster) as app:
        made.guests = invite(app, made.organization, FATES)
        queue(app, made.organization, [made.guests[fate] for fate in FATES if fate != "in hand"])
        queue(app, made.organization, [made.guests["in hand"]])
    insert(cluster, "before")
    time.sleep(1.1)
    made.target = datetime.now(UTC)
    time.sleep(1.1)
    insert(cluster, "behind")
    live_on(cluster, made)
    return made


def insert(cluster: Cluster, name: str) -> None:
    cluster.query(f"SELECT create_organization(gen_random_uuid(), '{ROW} {name}')", "--role", "ops")


def live_on(cluster: Cluster, story: Story) -> None:
    """What guests and workers do after the target, through the calls they have."""
    ours = story.organization
    with (
        application(cluster) as app,
        psycopg.connect(cluster.dsn("--role", "worker"), autocommit=True) as worker,
    ):
        app.execute(
            "SELECT withdraw_consent(%s, %s, 'email', 'offers')", [ours, address("withdrew")]
        )
        app.execute("SELECT erase_guest(%s, %s)", [ours, story.guests["erased"]])
        chunks = worker.execute(CLAIM).fetchall()
        everyone = [one for chunk in chunks for one in chunk[2]]
        with app.transaction():
            app.execute("SELECT enter_tenant(%s)", [ours])
            fates: dict[str, str] = dict(app.execute(
                "SELECT id::text, recipient_name FROM communication_recipients"
                " WHERE id = ANY (%s::uuid[])", [everyone],
            ).fetchall())  # fmt: skip
        assert set(fates.values()) == {"nothing", "unsubscribed", "sent", "in hand"}
        for batch, lease, recipients, organization in chunks:
            if [fates[one] for one in recipients] == ["in hand"]:
                continue  # its worker has not answered when the cluster is stopped
            outcome = {"sent": "sent"}
            results = [
                {"recipient_id": one, "outcome": outcome.get(fates[one], "not_attempted"),
                 "provider": "smtp"}
                for one in recipients
            ]  # fmt: skip
            worker.execute(
                "SELECT complete_batch(%s, %s, %s, %s)",
                [organization, batch, lease, json.dumps(results)],
            )
        (clicked,) = [one for one, fate in fates.items() if fate == "unsubscribed"]
    token = cluster.on(
        cluster.leader,
        "runuser -u postgres -- psql -d wedsync -Atc"
        f" \"SELECT internal.unsubscribe_token('{ours}', '{clicked}')\"",
    ).strip()
    cluster.query(f"SELECT unsubscribe('{token}')", "--role", "worker")


def rows(cluster: Cluster) -> set[str]:
    return {str(row[0]) for row in cluster.query(NAMES, "--role", "ops")}


def refusal(cluster: Cluster, *arguments: str) -> str:
    done = cluster.run("restore", "cluster", *arguments, "--yes", ok=False)
    assert done.returncode not in (0, 1), done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def going(cluster: Cluster, *arguments: str) -> subprocess.Popen[str]:
    """A restore that runs beside us."""
    return subprocess.Popen(
        [str(GUESTCOMMS), "--stack", cluster.stack, "restore", "cluster", *arguments, "--yes"],
        env=cluster.environment, cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        # A job in the background of a shell ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip


def interrupted(cluster: Cluster, step: str, *arguments: str) -> None:
    """Begin or go on, and Ctrl-C once a step is done."""
    run = going(cluster, *arguments)

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
    run = going(cluster, *arguments)
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


def test_the_plan_says_what_would_be_lost(cluster: Cluster, story: Story) -> None:
    plan = cluster.json("restore", "cluster", "--plan", "--to", f"{story.target:%F %T.%f}+00")
    assert plan["problems"] == []
    assert plan["missing"] == 0
    assert plan["backup"]
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


def test_the_cluster_goes_back_to_the_target(cluster: Cluster, story: Story) -> None:
    """A person may look first; interrupted within each step, it goes on where it stands."""
    target = f"{story.target:%F %T.%f}+00"
    began = time.monotonic()
    looked = cluster.json("restore", "cluster", "--to", target, "--look", "--yes")
    assert looked["step"] == "copied"
    assert cluster.on("drill-1", "ls /var/lib/postgresql/drill").strip() == looked["drill_id"]
    assert rows(cluster) == {"before", "behind", "after undoing"}
    stopped = time.monotonic()
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
    }
    paths.evidence("restore-cluster").write_text(json.dumps({**measured, "record": record}))
    assert (record["step"], record["reached_lsn"]) == ("done", record["copy_lsn"])
    cluster.wait_healthy()
    assert rows(cluster) == {"before"}
    newest = cluster.query(
        "SELECT backup_type FROM communication_backups WHERE status = 'completed'"
        " ORDER BY completed_at DESC LIMIT 1", "--role", "ops",
    )  # fmt: skip
    assert newest == [("full",)]


def test_nobody_is_written_to_twice_or_against_their_will(cluster: Cluster, story: Story) -> None:
    assert claimed(cluster) == []  # frozen
    cluster.run("restore", "thaw", "--yes")
    assert claimed(cluster) == ["nothing"]
    name = f"SELECT name FROM guests WHERE guest_id = '{story.guests['erased']}'"
    assert cluster.query(name, "--role", "ops") == [(None,)]


def test_a_moment_on_the_abandoned_timeline_is_refused(cluster: Cluster, story: Story) -> None:
    """Between target and switch the cluster has nothing, whatever the archive holds."""
    cluster.run("restore", "release", story.restored, "--yes")
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
    behind = superuser(cluster, leader, "SELECT pg_current_wal_lsn()")
    repository = "runuser -u postgres -- pgbackrest --log-level-console=off"
    listed = cluster.on(leader, f"{repository} repo-ls --recurse archive/wedsync | grep {lost}-")
    assert cluster.json("restore", "cluster", "--plan", "--to", f"lsn:{behind}")["problems"] == []
    cluster.on(leader, f"{repository} repo-rm archive/wedsync/{listed.strip()}")
    assert lost not in segments(cluster, leader), listed
    assert "behind the hole" in refusal(cluster, "--to", f"lsn:{behind}")
    assert "behind the hole" in refusal(cluster, "--to", newest_transaction(cluster))


def newest_transaction(cluster: Cluster) -> str:
    """A transaction that has ended, as a target."""
    [(ended,)] = cluster.query("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1")
    return f"xid:{ended}"


def planned(cluster: Cluster, target: str) -> bool:
    """Whether nothing stands against that target."""
    plan = cluster.run("restore", "cluster", "--plan", "--to", target, ok=False)
    return plan.returncode == 0
