"""Change a living cluster under writers: `python -m tests.ops.scaling`, by `make scaling`.

Each change is made by the command that a person gives, while eight writers record what was
acknowledged outside the database. Evidence is appended to .state/scaling/evidence.jsonl after each
change, and the table of docs/rolling-changes.md made from it. Exit status 1 if a write was lost or
doubled, or a change is not what it says afterwards; 2 for an unknown name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import psycopg
import typer
from rich.console import Console

from tests.ops.cluster import writer
from tests.ops.faults.stage import Stage
from tests.ops.scaling.report import write_document
from tools.command import ROOT

STATE = ROOT / ".state" / "scaling"
EVIDENCE = STATE / "evidence.jsonl"
DOCUMENT = ROOT / "docs" / "rolling-changes.md"
WRITERS = 8
WARM = 200
"""Writes acknowledged before a change begins and after it has ended."""
PATIENCE = 120
ALONE_SECONDS = 120.0
"""How long two machines carry on without the third before it is replaced."""
SECOND_GROUP = 100
"""Number of the first writer that uses the second login."""
console = Console(stderr=True)


class WrongError(AssertionError):
    """A change is not what it says."""


def check(condition: bool, words: str) -> None:
    """Raise `WrongError` unless the condition holds."""
    if not condition:
        raise WrongError(words)


def certificates(stage: Stage, _writers: writer.Writers) -> str:
    """`guestcomms rotate certificates`."""
    before = _shown(stage)
    stage.run("rotate", "certificates", "--yes")
    after = _shown(stage)
    check(not set(before.values()) & set(after.values()), "a machine kept its certificate")
    return f"{len(after)} certificates"


def authority(stage: Stage, _writers: writer.Writers) -> str:
    """`guestcomms rotate ca`, all three steps."""
    before = _authorities(stage)
    told = stage.json("rotate", "ca", "--yes")
    after = _authorities(stage)
    check(told["steps"] == ["trust", "issue", "retire"], f"steps {told['steps']}")
    check(len(after) == 1, "machines do not all trust one authority")
    check(before.isdisjoint(after), "the authority is the same")
    return "3 steps"


def passwords(stage: Stage, old: writer.Writers) -> str:
    """`guestcomms rotate passwords`, then --retire once nobody uses the former login."""
    refused = stage.dsn()
    stage.run("rotate", "passwords", "--yes")
    stage.forget_logins()
    dsn = stage.dsn()
    check(dsn != refused, "the login is the same")
    busy = stage.run("rotate", "passwords", "app", "--retire", "--yes", ok=False)
    check(busy.returncode == 4, f"--retire does not wait for those connected: {busy.returncode}")
    with writer.Writers(dsn, WRITERS, first=SECOND_GROUP) as new:
        new.wait_for(WARM, PATIENCE)
        old.stop()
        stage.run("rotate", "passwords", "--retire", "--yes")
        new.wait_for(WARM, PATIENCE)
    old.record.add(new.record)
    try:
        psycopg.connect(refused).close()
    except psycopg.OperationalError:
        return "7 roles, the former logins are out"
    raise WrongError("the former login still gets in")


def restart(stage: Stage, _writers: writer.Writers) -> str:
    """A setting that PostgreSQL reads only when it starts, by `guestcomms up`."""
    present = int(stage.query("SHOW max_connections", "--direct")[0][0])
    wanted = 410 if present != 410 else 420
    stage.configure(postgres={"max_connections": wanted})
    stage.run("up", "--yes")
    for name in stage.database_machines:
        shown = stage.on(name, _PSQL + ' "SHOW max_connections"').strip()
        check(shown == str(wanted), f"{name} has max_connections {shown}")
    return f"max_connections {present} → {wanted}"


def older(stage: Stage, _writers: writer.Writers) -> str:
    """Back to the oldest minor release of PostgreSQL that Debian offers, by a new image."""
    offered = stage.on(
        "drill-1",
        "apt-get update -qq >/dev/null 2>&1;"
        " apt-cache madison postgresql-17 | cut -d'|' -f2 | tr -d ' ' | sort -V | head -1",
    ).strip()
    return _roll_to(stage, offered)


def newer(stage: Stage, _writers: writer.Writers) -> str:
    """Forward to the newest minor release, by an image: what an update is."""
    return _roll_to(stage, "")


def _roll_to(stage: Stage, version: str) -> str:
    """Replace every machine by one from another image, by `guestcomms up`."""
    before, present = _containers(stage), _versions(stage)
    stage.configure(machines={**stage.sections["machines"], "postgresql_version": version})
    stage.run("up", "--yes")
    after, now = _containers(stage), _versions(stage)
    check(not set(before.values()) & set(after.values()), "a machine was not replaced")
    check(len(now) == 1, f"machines run {sorted(now)}")
    return f"PostgreSQL {' '.join(present)} → {' '.join(now)}"


def _versions(stage: Stage) -> set[str]:
    """What the running servers say they are."""
    ask = _PSQL + ' "SHOW server_version"'
    return {stage.on(name, ask).split()[0] for name in stage.database_machines}


def grow(stage: Stage, _writers: writer.Writers) -> str:
    """From 3 database machines to 5, by `guestcomms up`."""
    return _scale(stage, 5)


def shrink(stage: Stage, _writers: writer.Writers) -> str:
    """From 5 database machines to 3, by `guestcomms up`."""
    return _scale(stage, 3)


def replace(stage: Stage, writers: writer.Writers) -> str:
    """A standby and its disks are gone for good; two carry on; `guestcomms up` makes it anew."""
    lost = stage.standbys[-1]
    stage.container(lost).remove(force=True, v=True)
    filters: dict[str, Any] = {
        "label": [f"guestcomms.stack={stage.stack}", f"guestcomms.machine={lost}"]
    }
    for volume in stage.docker.volumes.list(filters=filters):
        volume.remove()
    began, written = time.monotonic(), len(writers.record.acked)
    time.sleep(ALONE_SECONDS)  # the duration is what is shown
    written = len(writers.record.acked) - written
    check(written > ALONE_SECONDS, f"two machines acknowledged {written} writes alone")
    stage.run("up", "--yes")
    stage.wait_whole()
    seconds = time.monotonic() - began - ALONE_SECONDS
    return (
        f"{lost}; {written:,} writes on two in {ALONE_SECONDS:.0f} s; whole after {seconds:.0f} s"
    )


class Change(NamedTuple):
    """A change, how many database machines there are when it is made, and who leads then."""

    title: str
    nodes: int
    act: Callable[[Stage, writer.Writers], str]
    leader: str = ""


CHANGES = {
    "certificates": Change("certificates rotated", 3, certificates),
    "ca": Change("authority rotated", 3, authority),
    "passwords": Change("passwords rotated", 3, passwords),
    "restart-3": Change("restart-only setting", 3, restart),
    "image-3": Change("new image, PostgreSQL one minor back", 3, older),
    "minor-3": Change("new image, PostgreSQL one minor forward", 3, newer),
    "grow": Change("3 → 5 database machines", 3, grow),
    "restart-5": Change("restart-only setting", 5, restart),
    "image-5": Change("new image, PostgreSQL one minor back", 5, older),
    "minor-5": Change("new image, PostgreSQL one minor forward", 5, newer),
    "shrink": Change("5 → 3 database machines, one that goes leads", 5, shrink, "pg-5"),
    "replace": Change("a standby lost with its disks, replaced", 3, replace),
}
_PSQL = "runuser -u postgres -- psql -d wedsync -Atc"


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Changes; none: all, in order.")] = None,
    keep: Annotated[bool, typer.Option(help="Leave the cluster up.")] = False,
) -> None:
    """Make changes under writers, judge what became of the writes, and write the table."""
    chosen = names or list(CHANGES)
    if unknown := [name for name in chosen if name not in CHANGES]:
        console.print(f"There is no change {unknown[0]}; there are {', '.join(CHANGES)}.")
        raise typer.Exit(2)
    STATE.mkdir(parents=True, exist_ok=True)
    stage = Stage(STATE)
    with console.status("bringing the cluster up"):
        stage.rise()
    bad = False
    for name in chosen:
        with console.status(name):
            one = perform(stage, name, CHANGES[name])
        with EVIDENCE.open("a", encoding="utf-8") as file:
            file.write(json.dumps(one) + "\n")
        console.print(json.dumps(one))
        bad = bad or bool(one["problem"] or one["lost"] or one["doubled"])
    write_document(EVIDENCE, DOCUMENT, {key: change.title for key, change in CHANGES.items()})
    if not keep:
        stage.close()
    if bad:
        raise typer.Exit(1)


def perform(stage: Stage, name: str, change: Change) -> dict[str, Any]:
    """Make one change under writers and judge it."""
    if len(stage.database_machines) != change.nodes:
        _scale(stage, change.nodes)
    if change.leader:
        stage.make_leader(change.leader)
    owner = stage.dsn("--role", "migrator", "--direct")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(writer.DROP)
        connection.execute(writer.CREATE)
    problem, remark, seconds = "", "", 0.0
    with writer.Writers(stage.dsn(), WRITERS) as writers:
        writers.wait_for(WARM, PATIENCE)
        began = time.monotonic()
        try:
            remark = change.act(stage, writers)
            seconds = time.monotonic() - began
            if not writers.stopped:
                writers.wait_for(WARM, PATIENCE)
        except (AssertionError, TimeoutError) as error:
            problem = str(error)
    stage.wait_healthy()
    acked, rows = writers.record.acked, writer.rows(stage.dsn())
    return {
        "change": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "nodes": change.nodes,
        "seconds": round(seconds, 1),
        "acknowledged": len(acked),
        "lost": len(set(acked) - set(rows)),
        "doubled": sum(times > 1 for times in rows.values()),
        "failed_calls": writers.record.errors,
        "write_gap_seconds": round(writers.record.longest_gap, 2),
        "gaps_over_1_s": [round(gap, 1) for gap in writers.record.gaps(1.0)],
        "leaders": len({ack.timeline for ack in acked.values()}),
        "remark": remark,
        "problem": problem,
    }


def _scale(stage: Stage, nodes: int) -> str:
    staying = [f"pg-{number}" for number in range(1, 4)] + ["proxy-1"]
    before = {name: _containers(stage)[name] for name in staying}
    stage.configure(machines={**stage.sections["machines"], "database_nodes": nodes})
    stage.run("up", "--yes")
    after = _containers(stage)
    check({name: after[name] for name in staying} == before, "a machine that stays was replaced")
    wanted = [f"pg-{number}" for number in range(1, nodes + 1)]
    check(sorted(stage.health()["members"]) == wanted, f"members {stage.health()['members']}")
    listing = (
        "ETCDCTL_CACERT=$t/ca.crt ETCDCTL_CERT=$t/machine.crt ETCDCTL_KEY=$t/machine.key"
        " etcdctl --endpoints=https://pg-1:2379 member list"
    )
    told = stage.on("pg-1", f"t=/etc/guestcomms/tls; {listing}")
    etcd = sorted(line.split(", ")[2] for line in told.splitlines())
    check(etcd == wanted, f"etcd's members are {etcd}")
    ask = 'printf "show servers conn leader_pooler\\n"'
    served = stage.on("proxy-1", f"{ask} | python3 -c '{_HAPROXY}'")
    check(all(f"leader_pooler/{name} " in served for name in wanted), f"HAProxy serves {served}")
    check(served.count("leader_pooler/") == nodes, f"HAProxy serves {served}")
    check(bool(stage.json("status")["healthy"]), "the cluster is not healthy")
    return f"{len(wanted)} members"


_HAPROXY = (
    "import socket,sys; s=socket.socket(socket.AF_UNIX);"
    ' s.connect("/run/haproxy-admin.sock"); s.sendall(sys.stdin.buffer.read());'
    ' print(b"".join(iter(lambda: s.recv(65536), b"")).decode())'
)


def _containers(stage: Stage) -> dict[str, str]:
    names = [*stage.database_machines, "proxy-1"]
    return {name: str(stage.container(name).id) for name in names}


def _told(stage: Stage) -> dict[str, Any]:
    """What each machine says of its certificates."""
    names = [*stage.database_machines, "proxy-1", "monitor-1", "store-1", "drill-1"]
    verb = "/opt/guestcomms/agent.pyz certificates"
    return {name: json.loads(stage.on(name, verb)) for name in names}


def _shown(stage: Stage) -> dict[str, str]:
    return {name: told["certificate"]["sha256"] for name, told in _told(stage).items()}


def _authorities(stage: Stage) -> set[str]:
    return {each["sha256"] for told in _told(stage).values() for each in told["authorities"]}


if __name__ == "__main__":
    typer.run(main)
