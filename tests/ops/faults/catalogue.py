"""The faults: each a function that prepares, does and undoes one thing to a cluster.

A fault yields twice. What stands before the first `yield` happens before the writers start, what
stands between the two is the fault (time is counted from its begin), what follows undoes it. It
may note what it saw in `Scene.notes`. `Stage.mend` undoes all of them once more, should a run be
killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.ops.cluster import clock
from tests.ops.cluster.harness import CommandFailedError
from tests.ops.faults.stage import PATRONI, SMALL_DISK, Stage, wait

SPARE_MIB = 200
RESUME_SECONDS = 120
CLOCK_STEP = 3600
ARCHIVED = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"


class Group(StrEnum):
    """What users are promised about a fault, in the words of docs/faults.md."""

    PLANNED = "planned handover"
    POSTGRES = "PostgreSQL killed"
    MACHINE = "leader killed, frozen or cut off"
    OTHER = "other faults"
    CHANGE = "rolling change"
    IMAGE = "new machine image"
    CONTROL = "control"


LASTING = frozenset({Group.CHANGE, Group.IMAGE})
"""What is done on purpose and goes through all machines: all gaps together count."""
TARGETS = {Group.PLANNED: 2.0, Group.POSTGRES: 7.0, Group.MACHINE: 25.0, Group.CHANGE: 5.0}
"""Seconds of write outage promised: the longest gap, or all together where it is LASTING."""


@dataclass
class Scene:
    """What a fault is given."""

    stage: Stage
    writes_resume: Callable[[float], None]
    """Returns once clients are acknowledged again, or raises TimeoutError after so many seconds."""
    notes: dict[str, Any] = field(default_factory=dict)


Play = Callable[[Scene], Iterator[None]]


@dataclass(frozen=True)
class Fault:
    """One row of the table.

    Parameters: `title`, what happens, for readers; `runs`, how often by default; `hold`, seconds
    that it lasts at least once writes go on; `must_find`, for a control: the damage, a field of
    checker.Damage, that the checker has to report.
    """

    name: str
    title: str
    group: Group
    play: Play
    runs: int = 1
    hold: float = 3.0
    must_find: str | None = None


# ---- leader


def handover(scene: Scene) -> Iterator[None]:
    leader = scene.stage.leader
    yield
    scene.stage.on(leader, "/opt/guestcomms/agent.pyz handover --any")
    yield


def stop_leader(scene: Scene) -> Iterator[None]:
    container = scene.stage.container(scene.stage.leader)
    yield
    container.stop(timeout=90)
    yield
    container.start()


def kill_postgres(scene: Scene) -> Iterator[None]:
    leader = scene.stage.leader
    yield
    scene.stage.on(leader, "kill -9 $(head -1 /var/lib/postgresql/17/wedsync/postmaster.pid)")
    yield
    scene.notes["moved"] = scene.stage.leader != leader


def kill_leader(scene: Scene) -> Iterator[None]:
    container = _leader_with_etcd(scene)
    yield
    container.kill()
    yield
    container.start()


def freeze_leader(scene: Scene) -> Iterator[None]:
    container = _leader_with_etcd(scene)
    yield
    container.pause()
    yield
    container.unpause()


def cut_off_leader(scene: Scene) -> Iterator[None]:
    machine = scene.stage.leader
    _leader_with_etcd(scene)
    yield
    scene.stage.drop_packets(machine, "")
    yield
    scene.stage.heal_network(machine)


def kill_leader_twice(scene: Scene) -> Iterator[None]:
    stage = scene.stage
    first = stage.container(stage.leader)
    yield
    began = time.monotonic()
    first.kill()
    scene.writes_resume(RESUME_SECONDS)
    second = stage.container(stage.leader)
    first.start()
    second.kill()
    scene.notes["seconds_between"] = round(time.monotonic() - began, 1)
    yield
    second.start()


def kill_postgres_twice(scene: Scene) -> Iterator[None]:
    yield
    for _ in range(2):
        pidfile = "/var/lib/postgresql/17/wedsync/postmaster.pid"
        scene.stage.on(scene.stage.leader, f"kill -9 $(head -1 {pidfile})")
        scene.writes_resume(RESUME_SECONDS)
    yield


def kill_leader_behind_standbys(scene: Scene) -> Iterator[None]:
    """The leader dies while no standby hears it: what it still confirms is nowhere else."""
    stage = scene.stage
    leader, standbys = stage.leader, stage.standbys
    yield
    for machine in standbys:
        # Replication only: Patroni, etcd and the agents still reach everybody.
        stage.drop_packets(machine, "tcp sport 5432", "tcp dport 5432")
    time.sleep(1.5)
    stage.container(leader).kill()
    for machine in standbys:
        stage.heal_network(machine)
    yield
    stage.container(leader).start()


def fill_disk(scene: Scene) -> Iterator[None]:
    """The leader's disk is full, then there is room again.

    A leader that cannot extend a table refuses writes and stays; one that cannot make WAL crashes,
    and another takes over. Either way nothing may be lost, and writes have to come back.
    """
    stage = scene.stage
    machine = stage.standbys[0]
    stage.small_disk(machine, SPARE_MIB)
    stage.make_leader(machine)
    yield
    stage.on(machine, f"dd if=/dev/zero of={SMALL_DISK}/filler bs=1M 2>/dev/null; sync; true")
    scene.notes["full"] = stage.on(machine, f"df --output=pcent {SMALL_DISK} | tail -1").strip()
    # Old segments are used again: only when they are used up does WAL need room.
    record = "SELECT pg_logical_emit_message(false, 'faults', 'full')"
    switch = f'psql -d wedsync -Xqc "{record}" -c "SELECT pg_switch_wal()"'
    stage.on(
        machine,
        f"for i in $(seq 30); do timeout 3 runuser -u postgres -- {switch} || break; done"
        " >/dev/null 2>&1",
    )
    try:
        scene.writes_resume(40)
        scene.notes["while_full"] = "writes go on" + (
            " elsewhere" if stage.leader != machine else ""
        )
    except TimeoutError:
        scene.notes["while_full"] = "writes are refused"
    freed = time.monotonic()
    stage.on(machine, f"rm {SMALL_DISK}/filler")
    scene.writes_resume(RESUME_SECONDS)
    scene.notes["writes_after_room_seconds"] = round(time.monotonic() - freed, 1)
    yield
    stage.wait_healthy(300)
    stage.give_back_disk(machine)


def skew_clock(scene: Scene) -> Iterator[None]:
    """The leader's clock jumps an hour ahead, and back again two hours."""
    stage = scene.stage
    machine = stage.standbys[0]
    clock.fake(stage, machine)
    stage.wait_whole()
    stage.make_leader(machine)
    here = float(stage.superuser(machine, "SELECT extract(epoch FROM clock_timestamp())"))
    scene.notes["offset_before"] = round(here - time.time(), 1)
    yield
    for offset in (CLOCK_STEP, -CLOCK_STEP):
        clock.turn(stage, machine, offset)
        time.sleep(6)  # one loop of Patroni
        told = float(stage.superuser(machine, "SELECT extract(epoch FROM clock_timestamp())"))
        scene.notes.setdefault("offsets_seen", []).append(round(told - time.time()))
    scene.notes["still_leads"] = stage.leader == machine
    yield
    clock.give_back(stage, machine)


# ---- the others


def kill_standby(scene: Scene) -> Iterator[None]:
    container = scene.stage.container(scene.stage.standbys[0])
    yield
    container.kill()
    yield
    container.start()


def stop_etcd(scene: Scene) -> Iterator[None]:
    machine = _etcd_leader(scene.stage)
    yield
    scene.stage.on(machine, "systemctl stop etcd")
    yield
    scene.stage.on(machine, "systemctl start etcd")


def wipe_etcd(scene: Scene) -> Iterator[None]:
    machine = _etcd_leader(scene.stage)
    yield
    scene.stage.on(machine, "systemctl kill -s KILL etcd; rm -rf /var/lib/etcd/*")
    yield
    # Nothing to undo: it rejoins by itself, which the wait for health proves.


def lose_etcd_quorum(scene: Scene) -> Iterator[None]:
    """Two of three etcd members stop: Patroni's failsafe keeps the leader in office."""
    stage = scene.stage
    leader, members = stage.leader, stage.standbys
    yield
    for machine in members:
        stage.on(machine, "systemctl stop etcd")
    time.sleep(30)  # longer than the leader's lease of 20 s
    yield
    for machine in members:
        stage.on(machine, "systemctl start --no-block etcd")
    wait(lambda: bool(stage.health()["leader"]), 60)
    scene.notes["leader_stayed"] = stage.leader == leader


def lose_store(scene: Scene) -> Iterator[None]:
    """The S3 store is gone while WAL is made: the archive catches up, complete."""
    stage = scene.stage
    leader, store = stage.leader, stage.container("store-1")
    first = stage.superuser(leader, "SELECT pg_walfile_name(pg_switch_wal())")
    yield
    store.kill()
    for _ in range(5):
        time.sleep(2)
        stage.superuser(leader, "SELECT pg_switch_wal()")
    wait(lambda: int(stage.superuser(leader, ARCHIVED)) >= 3, 60)
    scene.notes["segments_waiting"] = int(stage.superuser(leader, ARCHIVED))
    yield
    store.start()
    began = time.monotonic()
    last = stage.superuser(leader, "SELECT pg_walfile_name(pg_switch_wal())")
    wait(lambda: last in _archive(stage, leader), 240)
    scene.notes["caught_up_seconds"] = round(time.monotonic() - began, 1)
    archived = _archive(stage, leader)
    missing = [name for name in _segments(first, last) if name not in archived]
    scene.notes["segments_missing"] = missing
    if missing:
        raise CommandFailedError(f"the archive has no {', '.join(missing)}")


def kill_leader_without_store(scene: Scene) -> Iterator[None]:
    """The leader dies while the archive cannot be asked: a promotion must not wait for it."""
    stage = scene.stage
    store, leader = stage.container("store-1"), stage.container(stage.leader)
    yield
    store.kill()
    time.sleep(2)
    leader.kill()
    yield
    store.start()
    leader.start()


def slow_network(scene: Scene) -> Iterator[None]:
    """The leader's network loses packets and is slow.

    With netem where the kernel has it; else one packet in ten dropped and 8 Mbit/s at most. It ends
    by itself: a leader that still reaches etcd keeps its lease, and nobody has to take over.
    """
    stage, machine = scene.stage, scene.stage.leader
    yield
    try:
        stage.on(machine, "tc qdisc add dev eth0 root netem delay 100ms 20ms loss 2%")
        scene.notes["how"] = "netem: 100 ± 20 ms, 2 % lost"
    except CommandFailedError:
        stage.on(machine, "tc qdisc add dev eth0 root tbf rate 8mbit burst 32kbit latency 400ms")
        stage.drop_packets(machine, "numgen random mod 100 < 10")
        scene.notes["how"] = "no netem in this kernel: 10 % lost each way, 8 Mbit/s"
    time.sleep(30)
    scene.notes["still_leads"] = stage.leader == machine
    stage.heal_network(machine)
    yield


def kill_all(scene: Scene) -> Iterator[None]:
    containers = [scene.stage.container(name) for name in scene.stage.database_machines]
    yield
    for container in containers:
        container.kill()
    for container in containers:
        container.start()
    yield


def lose_machine(scene: Scene) -> Iterator[None]:
    """A machine and its disks are gone for good: `pulumi refresh` and `up` make it anew."""
    stage = scene.stage
    machine = stage.leader
    yield
    stage.container(machine).remove(force=True, v=True)
    filters: dict[str, Any] = {
        "label": [f"guestcomms.stack={stage.stack}", f"guestcomms.machine={machine}"]
    }
    for volume in stage.docker.volumes.list(filters=filters):
        volume.remove()
    yield
    stage.pulumi("refresh", "--yes", "--skip-preview")
    stage.pulumi("up", "--yes", "--skip-preview")


# ---- changes


def roll_setting(scene: Scene) -> Iterator[None]:
    """A setting that needs a restart goes through every node by `pulumi up`."""
    stage = scene.stage
    leader = stage.leader
    connections = int(stage.superuser(leader, "SHOW max_connections")) + 10
    stage.configure(postgres={"max_connections": connections})
    yield
    stage.pulumi("up", "--yes", "--skip-preview")
    started = {
        machine: float(
            stage.superuser(machine, "SELECT extract(epoch FROM pg_postmaster_start_time())")
        )
        for machine in stage.database_machines
    }
    scene.notes["order"] = sorted(started, key=lambda machine: started[machine])
    scene.notes["leader_before"] = leader
    for machine in stage.database_machines:
        if int(stage.superuser(machine, "SHOW max_connections")) != connections:
            raise CommandFailedError(f"{machine} has another max_connections than {connections}")
    if scene.notes["order"][-1] != leader:
        raise CommandFailedError(f"{leader} led, and was not the last to restart")
    yield


def roll_image(scene: Scene) -> Iterator[None]:
    """A new machine image replaces every machine by `pulumi up`."""
    stage = scene.stage
    before = {name: stage.container(name) for name in stage.database_machines}
    machines = stage.sections["machines"]
    edition = "a" if machines.get("image_edition") == "b" else "b"
    stage.configure(machines={**machines, "image_edition": edition})
    yield
    stage.pulumi("up", "--yes", "--skip-preview")
    for name, old in before.items():
        if stage.container(name).image == old.image:
            raise CommandFailedError(f"{name} still runs the old image")
    yield


# ---- controls: the checker has to find the damage


def asynchronous(scene: Scene) -> Iterator[None]:
    """Without synchronous replication the same fault loses what it must not."""
    stage = scene.stage
    _synchronous_mode(stage, "off")
    play = kill_leader_behind_standbys(scene)
    next(play)
    yield
    next(play)
    yield
    for _ in play:
        pass
    _synchronous_mode(stage, "quorum")


def second_primary(scene: Scene) -> Iterator[None]:
    """A standby is promoted behind Patroni's back: two primaries accept writes at once."""
    stage = scene.stage
    machine = stage.standbys[0]
    yield
    _patronictl(stage, machine, "pause --wait")
    stage.superuser(machine, "SELECT pg_promote()")
    # Nobody would confirm its commits: it is a primary of its own now, without standbys.
    stage.superuser(machine, "ALTER SYSTEM SET synchronous_standby_names = ''")
    stage.superuser(machine, "SELECT pg_reload_conf()")
    time.sleep(5)
    yield
    stage.superuser(machine, "ALTER SYSTEM RESET synchronous_standby_names")
    _patronictl(stage, machine, "resume --wait")
    # The archive holds the false timeline's history now, and every standby that starts would look
    # for it: a timeline of the real leader's own, newer than the false one, leads them back.
    stage.on(stage.leader, "/opt/guestcomms/agent.pyz handover")
    _patronictl(stage, machine, f"reinit wedsync {machine} --force --wait")


# ---- helpers


def _leader_with_etcd(scene: Scene) -> Any:
    """The leader's container; notes whether the machine leads etcd too, the slower case."""
    leader = scene.stage.leader
    scene.notes["led_etcd_too"] = _etcd_leader(scene.stage) == leader
    return scene.stage.container(leader)


def _etcd_leader(stage: Stage) -> str:
    found = [name for name, member in stage.health()["etcd"].items() if member["leader"]]
    return found[0] if found else stage.database_machines[0]


def _patronictl(stage: Stage, machine: str, command: str) -> None:
    stage.on(machine, f"runuser -u postgres -- patronictl -c {PATRONI} {command}")


def _synchronous_mode(stage: Stage, mode: str) -> None:
    leader = stage.leader
    _patronictl(stage, leader, f"edit-config wedsync --force -s synchronous_mode={mode}")
    names = "SHOW synchronous_standby_names"
    wait(lambda: bool(stage.superuser(leader, names)) == (mode != "off"), 60)


def _archive(stage: Stage, machine: str) -> set[str]:
    """The WAL segments that the repository holds."""
    listed = stage.on(
        machine,
        "runuser -u postgres -- pgbackrest repo-ls --recurse --log-level-console=off"
        " archive/wedsync",
    )
    return {line.rpartition("/")[2].partition("-")[0] for line in listed.splitlines()}


def _segments(first: str, last: str) -> list[str]:
    """The names of all WAL segments from one to another on the same timeline."""
    numbers = (int(name[8:16], 16) * 256 + int(name[16:], 16) for name in (first, last))
    begin, end = numbers
    return [f"{last[:8]}{n // 256:08X}{n % 256:08X}" for n in range(begin, end + 1)]


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("handover", "planned handover", Group.PLANNED, handover, runs=5, hold=0),
        Fault("kill-postgres", "kill -9 of the leader's PostgreSQL", Group.POSTGRES,
              kill_postgres, runs=5, hold=0),
        Fault("kill-leader", "leader's machine killed", Group.MACHINE, kill_leader, runs=2),
        Fault("freeze-leader", "leader's machine frozen, then thawed", Group.MACHINE,
              freeze_leader, runs=2),
        Fault("cut-off-leader", "leader's machine cut off the network, both ways", Group.MACHINE,
              cut_off_leader, runs=2),
        Fault("stop-leader", "leader's machine shut down in order", Group.OTHER, stop_leader),
        Fault("kill-behind", "leader killed while no standby hears it", Group.OTHER,
              kill_leader_behind_standbys),
        Fault("kill-leader-twice", "leader killed, then at once its successor", Group.OTHER,
              kill_leader_twice),
        Fault("kill-postgres-twice", "PostgreSQL killed, and again at once", Group.OTHER,
              kill_postgres_twice),
        Fault("kill-standby", "a standby's machine killed", Group.OTHER, kill_standby),
        Fault("stop-etcd", "the etcd member that leads etcd stopped", Group.OTHER, stop_etcd),
        Fault("wipe-etcd", "an etcd member killed, its disk emptied", Group.OTHER, wipe_etcd),
        Fault("lose-quorum", "two of three etcd members stopped for 30 s", Group.OTHER,
              lose_etcd_quorum),
        Fault("fill-disk", "leader's disk full", Group.OTHER, fill_disk),
        Fault("lose-store", "S3 store gone", Group.OTHER, lose_store),
        Fault("lose-store-and-leader", "S3 store gone, then the leader killed", Group.OTHER,
              kill_leader_without_store),
        Fault("skew-clock", "leader's clock an hour ahead, then an hour behind", Group.OTHER,
              skew_clock),
        Fault("slow-network", "leader's network slow and lossy for 30 s", Group.OTHER,
              slow_network, hold=0),
        Fault("kill-all", "all database machines killed at once", Group.OTHER, kill_all),
        Fault("lose-machine", "leader's machine gone for good, disks and all", Group.OTHER,
              lose_machine),
        Fault("roll-setting", "max_connections changed by `pulumi up`", Group.CHANGE,
              roll_setting, hold=0),
        Fault("roll-image", "every machine replaced by `pulumi up`, new image", Group.IMAGE,
              roll_image, hold=0),
        Fault("async", "leader killed while no standby hears it, synchronous_mode off",
              Group.CONTROL, asynchronous, must_find="lost"),
        Fault("second-primary", "a standby promoted behind Patroni's back", Group.CONTROL,
              second_primary, must_find="primaries", hold=0),
    )
}  # fmt: skip
