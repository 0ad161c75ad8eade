"""The old data of a restore of the whole cluster: moved aside, read, put back, deleted.

It is moved aside, never written over: until it is cleaned away, the way back is a move. What the
new database has to be told (see functions/internal/protective_facts.sql) is read from it after the
cluster is stopped, so nothing is decided behind its back. Every step may be done again.
"""

import json
import logging
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import psycopg

from infra.agent import checks, paths, pgbackrest
from infra.agent.copies import Copy, RecoveryError
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.files import remove
from infra.agent.restore_plan import data_directory
from infra.agent.run import run

MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:]{8}(\.[0-9]{1,6})?\+00:?(00)?\Z")
TARGETS = tuple(f"recovery_target{kind}" for kind in ("", "_name", "_time", "_lsn", "_xid"))
START_PATIENCE = 3600.0  # seconds for the old database's crash recovery
SHUTDOWN_PATIENCE = 900.0  # seconds for a shutdown checkpoint of much memory
END_PATIENCE = 60.0
PAUSE = 0.5
LOOK_PATIENCE = 30.0  # seconds for a program that only looks
CONTROL = re.compile(
    r"^(?:Latest checkpoint|Min(?:imum)? recovery ending)"
    r"(?:'s TimeLineID| loc(?:ation)?'s timeline| location): +(\S+)$",
    re.MULTILINE,
)
RUNS = 0  # exit status of `pg_ctl status`

log = logging.getLogger(__name__)


def settle(restore_id: str) -> Mapping[str, object]:
    """See to it that nothing uses the old data any more, and say how far it goes; see `position`.

    Raises:
        AgentError: Patroni or PostgreSQL still runs.
    """
    _no_patroni()
    if not _kept(restore_id).exists():
        _let_go(data_directory())
    return position(restore_id)


def position(restore_id: str = "") -> Mapping[str, object]:
    """Say how far the old data on this machine goes, wherever it lies; only looked at.

    On one timeline no standby is further than the machine that wrote it; the position of a machine
    that crashed may be too small.
    Source: https://www.postgresql.org/docs/17/app-pgcontroldata.html

    Returns:
        {"timeline", "lsn", "standby"}; timeline 0 where there is no data.

    Raises:
        AgentError: it cannot be read.
    """
    data = data_directory()
    if restore_id and _kept(restore_id).exists():
        data = _kept(restore_id)
    if not (data / "global" / "pg_control").exists():
        return {"timeline": 0, "lsn": "0/0", "standby": False}
    outcome = run(
        [str(paths.POSTGRESQL_PROGRAMS / "pg_controldata"), "-D", str(data)],
        timeout=LOOK_PATIENCE,
        environment={"LC_ALL": "C"},
    )
    if outcome.status != 0:
        raise AgentError(f"{data} does not say how far it goes: {outcome.complaint()}")
    timeline, lsn = furthest(outcome.stdout)
    return {"timeline": timeline, "lsn": lsn, "standby": (data / "standby.signal").exists()}


def furthest(control: str) -> tuple[int, str]:
    """Return the highest timeline and position that pg_controldata tells of.

    Raises:
        AgentError: it tells of none.
    """
    words = CONTROL.findall(control)
    positions = [word for word in words if "/" in word]
    timelines = [int(word) for word in words if word.isdigit()]
    if not positions or not timelines:
        raise AgentError("pg_controldata tells no position")
    return max(timelines), max(positions, key=pgbackrest.position)


def aside(machine: Machine, restore_id: str) -> Mapping[str, object]:
    """Move the data directory aside; done already is done.

    Raises:
        AgentError: Patroni runs, or PostgreSQL does and does not stop.
    """
    data, kept = data_directory(), _kept(restore_id)
    _no_patroni()
    if not kept.exists() and data.exists():
        _let_go(data)
        data.rename(kept)
        log.info("%s is %s now", data, kept)
    # What pgBackRest fetched or pushed ahead belongs to the timeline that is left.
    for queue in ("in", "out"):
        shutil.rmtree(paths.SPOOL / "archive" / machine.stanza / queue, ignore_errors=True)
    return {"aside": kept.exists(), "path": str(kept)}


def back(restore_id: str) -> Mapping[str, object]:
    """Undo `aside`: what was restored is deleted, the old data directory is in its place again.

    Raises:
        AgentError: Patroni runs, or PostgreSQL does and does not stop.
    """
    data, kept = data_directory(), _kept(restore_id)
    _no_patroni()
    if kept.exists():
        if data.exists():
            _let_go(data)
            shutil.rmtree(data)
        kept.rename(data)
        log.info("%s is back in its place", data)
    remove(paths.RESTORE_ORDER)
    return {"back": data.exists()}


def discard(restore_id: str) -> Mapping[str, object]:
    """Delete what an attempt to restore has left, where the old data directory is kept.

    Raises:
        AgentError: Patroni runs, or the old data directory is not kept: it would be lost.
    """
    data = data_directory()
    _no_patroni()
    if not _kept(restore_id).exists():
        raise AgentError(f"{_kept(restore_id)} is not there: {data} may be all there is")
    _let_go(data)
    for left in (data, data.with_name(f"{data.name}.failed")):  # Patroni's name for a bad start
        if left.exists():
            shutil.rmtree(left)
    remove(paths.REFUSED)
    return {"discarded": not data.exists()}


def fork(machine: Machine, restore_id: str) -> Mapping[str, object]:
    """Let the old data, back in its place, begin a timeline that is newer than the restored one's.

    Otherwise it would find that one in the archive when it starts, and try to follow it.

    Raises:
        AgentError: Patroni runs, or it does not come up.
    """
    _no_patroni()
    old = _opened(machine, restore_id, data_directory())
    (data_directory() / "recovery.signal").touch(mode=0o600)
    (data_directory() / "standby.signal").unlink(missing_ok=True)
    old.start(
        **dict.fromkeys(TARGETS, ""),  # it may have been restored itself, and still have one
        recovery_target_timeline="current",
        archive_mode="on",
        archive_command="/bin/false",
    )
    try:
        _wait_open(old)
        return {"timeline": timeline(old)}
    finally:
        old.halt()
        shutil.rmtree(_home(restore_id) / "old", ignore_errors=True)


def export(machine: Machine, restore_id: str, said: Mapping[str, object]) -> Mapping[str, object]:
    """Read from the old data directory what the restored database has to be told.

    Args:
        machine: whose data goes furthest.
        restore_id: the restore.
        said: {"since"}: facts from then on, see internal.protective_facts().

    Returns:
        {"facts": how many, by kind, "timeline": of the old cluster}

    Raises:
        AgentError: the old database was a standby, does not come up, or cannot answer.
    """
    since = datetime.fromisoformat(checks.text(said.get("since"), "since", MOMENT))
    if (_kept(restore_id) / "standby.signal").exists():
        raise AgentError(f"{machine.name} was a standby: its data may lack what the leader's had")
    old = _opened(machine, restore_id, _kept(restore_id))
    # Finished segments stay marked as not archived yet, for the way back.
    old.start(archive_mode="on", archive_command="/bin/false")
    try:
        _wait_open(old)
        counts = _write_facts(old, facts_file(restore_id), since)
        return {"facts": counts, "timeline": timeline(old)}
    except psycopg.Error as error:
        raise AgentError(f"the old database does not tell its protective facts: {error}") from error
    finally:
        old.halt()
        shutil.rmtree(_home(restore_id) / "old", ignore_errors=True)


def clean(restore_id: str) -> Mapping[str, object]:
    """Delete what was moved aside on this machine, and the facts: there is no way back then.

    Raises:
        AgentError: something of it is left.
    """
    kept, home = _kept(restore_id), paths.RESTORES / restore_id
    there = [directory for directory in (kept, home) if directory.exists()]
    if kept in there:
        _let_go(kept)
    for directory in there:
        try:
            shutil.rmtree(directory)
        except OSError as error:
            raise AgentError(f"{directory} is not deleted: {error}") from error
    remove(paths.RESTORE_ORDER)
    return {"cleaned": bool(there)}


def facts_file(restore_id: str) -> Path:
    """Where what the restored database has to be told lies on this machine."""
    return _home(restore_id) / "facts.jsonl"


def patroni_runs() -> bool:
    """Whether a Patroni is there, whether it answers or not."""
    for commands in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"/usr/bin/patroni" in commands.read_bytes().split(b"\0"):
                return True
    return False


def timeline(copy: Copy) -> int:
    """Return the timeline that a running copy writes."""
    with copy.connect() as connection:
        row = connection.execute(
            "SELECT pg_catalog.left(pg_catalog.pg_walfile_name("
            "pg_catalog.pg_current_wal_insert_lsn()), 8)"
        ).fetchone()
    return int(row[0], 16) if row else 0


def _opened(machine: Machine, restore_id: str, data: Path) -> Copy:
    """The old data directory as a database without network, set up and not yet started."""
    if not data.exists():
        raise AgentError(f"there is no old data directory {data}")
    _let_go(data)  # an earlier call may have ended before what it started
    return Copy.over(data, "old", machine.stanza, machine.database, _home(restore_id))


def _wait_open(copy: Copy) -> None:
    give_up = time.monotonic() + START_PATIENCE

    def patient() -> None:
        if time.monotonic() > give_up:
            raise RecoveryError(f"the old database is not open after {START_PATIENCE:g} s")

    copy.wait(patient)


def _write_facts(old: Copy, file: Path, since: datetime) -> dict[str, int]:
    """Write facts line by line, and let the file have its name when all are there."""
    counts: dict[str, int] = {}
    partial = file.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream, old.connect() as connection:
        query = "SELECT kind, fact FROM internal.protective_facts(%s)"
        for kind, fact in connection.cursor().stream(query, [since]):
            stream.write(json.dumps([kind, fact], separators=(",", ":")) + "\n")
            counts[kind] = counts.get(kind, 0) + 1
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)
    return counts


def _no_patroni() -> None:
    if patroni_runs():
        raise AgentError("Patroni runs on this machine: somebody has started it again")


def _let_go(data: Path) -> None:
    """See to it that no program uses a data directory: Patroni is stopped, but not what it began.

    A shutdown may take longer than systemd waits for Patroni, and a restore that Patroni cancelled
    may still write.

    Raises:
        AgentError: one does not end.
    """
    for pid in _restores_into(data):
        log.warning("ending the restore %d into %s", pid, data)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    give_up = time.monotonic() + END_PATIENCE
    while left := list(_restores_into(data)):
        if time.monotonic() > give_up:
            raise AgentError(f"the restore {left} into {data} does not end")
        time.sleep(PAUSE)
    if (data / "postmaster.pid").exists():
        control = [str(paths.POSTGRESQL_PROGRAMS / "pg_ctl"), "-D", str(data)]
        stop = ["stop", "-m", "fast", "-w", "-t", f"{SHUTDOWN_PATIENCE:.0f}"]
        run([*control, *stop], timeout=SHUTDOWN_PATIENCE + END_PATIENCE)
        if run([*control, "status"], timeout=END_PATIENCE).status == RUNS:
            raise AgentError(f"PostgreSQL still runs on {data}")


def _restores_into(data: Path) -> Iterator[int]:
    """Yield the process ids of pgBackRest that restores into a directory."""
    option = f"--pg1-path={data}".encode()
    for commands in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = commands.read_bytes().split(b"\0")
            if option in words and b"restore" in words:
                yield int(commands.parent.name)


def _kept(restore_id: str) -> Path:
    data = data_directory()
    return data.with_name(f"{data.name}.before-{restore_id}")


def _home(restore_id: str) -> Path:
    home = paths.RESTORES / restore_id
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home
