"""One run: writers, a fault, its end, and the judgement, as one piece of evidence."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker.errors
import psycopg

from tests.ops.cluster import writer
from tests.ops.faults import checker, watch
from tests.ops.faults.catalogue import LASTING, RESUME_SECONDS, TARGETS, Fault, Group, Scene
from tests.ops.faults.stage import Stage
from tools.command import ROOT

WRITERS = 8
WARM_UP = 400
AFTERWARDS = 300
LEAST_PER_SECOND = 100
OUTAGE_SECONDS = 0.5
"""A silence of all writers from this length on is an outage; a shorter one is a slow machine."""

Say = Callable[[str], None]
Evidence = dict[str, Any]
DIGEST = (
    "SELECT count(*) || ' ' || coalesce(sum(hashint8(writer::bigint << 32 | number)), 0)"
    f" FROM {writer.TABLE}"
)


def run(stage: Stage, fault: Fault, journal: Path, say: Say) -> Evidence:
    """Do a fault under writers and judge what became of the writes.

    Parameters: `journal`, the file that the writers' acknowledgements go to; `say` tells a person
    how far it is.

    Returns: evidence for one line of JSON; `problems` says why the run is not as it has to be.
    """
    began = datetime.now(UTC)
    evidence: Evidence = {
        "fault": fault.name, "group": fault.group, "title": fault.title,
        "began": began.isoformat(timespec="seconds"), **_here(), "problems": [],
    }  # fmt: skip
    owner = stage.dsn("--role", "migrator", "--direct")
    _clean(owner, writer.DROP, watch.DROP, writer.CREATE, watch.CREATE)
    try:
        evidence |= _measure(stage, fault, journal, say)
    except (
        AssertionError, TimeoutError, psycopg.Error, docker.errors.APIError,
        subprocess.TimeoutExpired,
    ) as error:  # fmt: skip
        evidence["problems"].append(f"{type(error).__name__}: {_reason(str(error))}")
        stage.mend()
    evidence["problems"] += _problems(fault, evidence)
    evidence["seconds"] = round((datetime.now(UTC) - began).total_seconds(), 1)
    return evidence


def _measure(stage: Stage, fault: Fault, journal: Path, say: Say) -> Evidence:
    writers = writer.Writers(stage.dsn("--role", "app"), WRITERS, journal)
    watcher = watch.Watch(stage)

    def writes_resume(seconds: float = RESUME_SECONDS) -> None:
        writers.wait_for(WARM_UP // 4, seconds)

    scene = Scene(stage, writes_resume)
    play = fault.play(scene)
    say("prepare")
    next(play)
    with ExitStack() as stack:
        stack.callback(_play_out, play, say)  # whatever happens, the fault is undone
        stack.enter_context(watcher)
        stack.enter_context(writers)
        writers.wait_for(WARM_UP, 60)
        say("fault")
        injected = time.time()
        next(play)
        writes_resume()
        time.sleep(fault.hold)
        say("undo")
        undone = time.time()
        _play_out(play, say)
        say("wait for full redundancy")
        stage.wait_whole()
        whole = time.time()
        writers.wait_for(AFTERWARDS, RESUME_SECONDS)
    say("check")
    acks = writer.read_journal(journal)
    rows = writer.rows(stage.dsn("--role", "app", "--direct"))
    copies = _copies(stage)
    found = checker.damage(acks, rows, watcher.samples, copies)
    record = writers.record
    gaps = record.gaps(OUTAGE_SECONDS)
    # The rate beside the outage: what the fault was done under.
    busy = record.seconds - sum(gaps)
    return {
        "acknowledged": len(acks),
        "per_second": round(len(acks) / busy),
        "cancelled": record.cancelled,
        "errors": record.errors,
        "damage": {key: len(value) for key, value in asdict(found).items()},
        "examples": {key: list(value)[:5] for key, value in asdict(found).items() if value},
        "gap": round(record.longest_gap, 2),
        "outage": round(sum(gaps), 2),
        "gaps": [round(gap, 2) for gap in gaps],
        "gaps_began": [_clock(at) for at, _ in record.silences(OUTAGE_SECONDS)],
        "stale_claims": round(checker.stale_claims(watcher.samples), 1),
        "samples": len(watcher.samples),
        "whole_after_fault": round(whole - injected, 1),
        "whole_after_undo": round(whole - undone, 1),
        "notes": scene.notes,
    }


def _clock(moment: float) -> str:
    """The time of day (UTC) to look for in logs."""
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S.%f}"[:-4]


def _reason(said: str) -> str:
    """The lines of a failed command that say what was wrong, or the end of what it said."""
    errors = [line.strip() for line in said.splitlines() if "error:" in line.lower()]
    return "\n".join(dict.fromkeys(errors)) or said[-1500:]


def _play_out(play: Iterator[None], say: Say) -> None:
    """Go on with a fault until its end, also after a failure in its middle."""
    for _ in play:
        say("undo")


def _problems(fault: Fault, evidence: Evidence) -> list[str]:
    """Why a run is not what it must be; a control must find its damage."""
    if "damage" not in evidence:
        return []
    damaged = {key: count for key, count in evidence["damage"].items() if count}
    problems = []
    if fault.must_find:
        if fault.must_find not in damaged:
            problems.append(f"the control found nothing {fault.must_find}")
    else:
        problems += [f"{count} {key}" for key, count in damaged.items()]
    if evidence["per_second"] < LEAST_PER_SECOND:
        rate = evidence["per_second"]
        problems.append(f"only {rate} acknowledged writes/s: the machine is too busy")
    if not evidence["samples"]:
        problems.append("nobody looked at the machines")
    return problems


def promised(evidence: Evidence) -> float | None:
    """The outage in seconds that users are promised to a fault, None where nothing is promised."""
    return TARGETS.get(Group(evidence["group"]))


def outage(evidence: Evidence) -> float:
    """What is compared with the promise: the longest gap, over a rolling change all together."""
    return float(evidence["outage" if evidence["group"] in LASTING else "gap"])


def _copies(stage: Stage) -> dict[str, str]:
    """Each machine's digest of the same rows, when all have received them."""
    lsn = stage.superuser(stage.leader, "SELECT pg_current_wal_lsn()")
    copies = {}
    for machine in stage.database_machines:
        replayed = f"SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= '{lsn}'"
        deadline = time.monotonic() + 30
        while stage.superuser(machine, replayed) != "t" and time.monotonic() < deadline:
            time.sleep(0.2)
        copies[machine] = stage.superuser(machine, DIGEST)
    return copies


def _clean(owner: str, *statements: str) -> None:
    with psycopg.connect(owner, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def _here() -> Evidence:
    """Where and on what this ran."""
    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "commit": commit.strip(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 1),
    }
