"""The steps of a restore of the whole cluster that are done on a database machine.

Who leads through them is `guestcomms restore cluster`; where it stands is a record in etcd, which
lives on while the database is replaced. Every step may be done again. What changes something is
done by one caller at a time, and only for whoever holds that record (`alone`). The old data
directory is moved aside, never written over: until it is cleaned away, the way back is a move.

What the new database has to be told (see functions/internal/protective_facts.sql) is read from the
old data directory after the cluster is stopped, so nothing is decided behind its back.
"""

import base64
import fcntl
import json
import logging
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from infra.agent import checks, database, etcd, paths, patroni, pgbackrest
from infra.agent.copies import Copy, RecoveryError, Target
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.files import File, install, remove
from infra.agent.restore_plan import Wish, data_directory
from infra.agent.run import run

RECORDS = "/guestcomms-restore/"  # beside Patroni's own keys, which `patronictl remove` takes away
PATRONI = ("patronictl", "-c", "/etc/patroni/conf.d")
REMOVE_TIMEOUT = 60.0
MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:]{8}(\.[0-9]{1,6})?\+00:?(00)?\Z")
AT_ONCE = 1000  # facts that are applied in one call
TARGETS = tuple(f"recovery_target{kind}" for kind in ("", "_name", "_time", "_lsn", "_xid"))
START_PATIENCE = 3600.0  # seconds for the old database's crash recovery
SHUTDOWN_PATIENCE = 900.0  # seconds for a shutdown checkpoint of much memory
END_PATIENCE = 60.0
PAUSE = 0.5
LOOK_PATIENCE = 30.0  # seconds for a program that only looks
CHANGES = frozenset(
    ("stop", "start", "settle", "aside", "back", "discard", "fork", "export", "order", "forget",
     "tell", "clean", "document")
)  # fmt: skip
"""Actions that only the holder of the record may do, one at a time on a machine."""
CONTROL = re.compile(
    r"^(?:Latest checkpoint|Min(?:imum)? recovery ending)"
    r"(?:'s TimeLineID| loc(?:ation)?'s timeline| location): +(\S+)$",
    re.MULTILINE,
)
RUNS = 0  # exit status of `pg_ctl status`
FREEZE = (
    "UPDATE internal.sending_state SET frozen = true, reason = %s,"
    " changed_at = pg_catalog.clock_timestamp(), changed_by = SESSION_USER WHERE NOT frozen"
)

log = logging.getLogger(__name__)


def record(machine: Machine) -> Mapping[str, object]:
    """Return the record of the restore under way: {"revision", "record"}, 0 and None for none.

    Raises:
        AgentError: etcd gives no answer.
    """
    entry = etcd.get(machine.name, _key(machine))
    if entry is None:
        return {"revision": 0, "record": None}
    return {"revision": entry.revision, "record": json.loads(base64.b64decode(entry.value))}


def write_record(machine: Machine, said: Mapping[str, object]) -> Mapping[str, object]:
    """Write {"revision", "record"} if nobody has since that revision; a record of None ends it.

    Returns:
        {"written": whether it was, "revision": what it is now}

    Raises:
        AgentError: etcd gives no answer.
    """
    revision = checks.number(said.get("revision"), "revision", 0, 2**63 - 1)
    if said.get("record") is None:
        entry = etcd.Entry(_key(machine), b"", revision)
        return {"written": etcd.delete(machine.name, entry), "revision": 0}
    text = json.dumps(checks.mapping(said.get("record"), "record")).encode()
    written = etcd.put(machine.name, _key(machine), text, revision)
    return {"written": written, "revision": record(machine)["revision"]}


@contextmanager
def alone(machine: Machine, restore_id: str, holder: str) -> Iterator[bool]:
    """Let a change be the only one on this machine while the block runs; False if another one is.

    Whoever led an earlier call may be gone while what it began goes on here, and one who slept may
    come back when another person leads: so the record is looked at once nobody can come between.

    Raises:
        AgentError: the record names another restore or another holder, or etcd gives no answer.
    """
    lock = os.open(paths.STATE, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        there = checks.mapping(_patiently(machine)["record"] or {}, "record")
        if (there.get("restore_id"), there.get("holder")) != (restore_id, holder):
            raise AgentError(f"{restore_id} is led by somebody else by now, or has ended")
        yield True
    finally:
        os.close(lock)


def _patiently(machine: Machine) -> Mapping[str, object]:
    """The record; etcd on a machine that was just booted may not answer yet."""
    give_up = time.monotonic() + LOOK_PATIENCE
    while True:
        try:
            return record(machine)
        except AgentError:
            if time.monotonic() > give_up:
                raise
            time.sleep(PAUSE)


def stop(machine: Machine) -> Mapping[str, object]:
    """Stop Patroni (as root); it does not begin by itself after a reboot either.

    Raises:
        AgentError: it does not stop.
    """
    run(["systemctl", "disable", "--now", "patroni"], timeout=SHUTDOWN_PATIENCE)
    state = run(["systemctl", "is-active", "patroni"], timeout=LOOK_PATIENCE).stdout.strip()
    if state not in ("inactive", "failed") or _patroni_runs():
        raise AgentError(f"Patroni on {machine.name} does not stop, it is {state}")
    return {"state": state}


def start(machine: Machine) -> Mapping[str, object]:
    """Start Patroni (as root), now and at each boot.

    Raises:
        AgentError: it does not start.
    """
    outcome = run(["systemctl", "enable", "--now", "patroni"], timeout=SHUTDOWN_PATIENCE)
    state = run(["systemctl", "is-active", "patroni"], timeout=LOOK_PATIENCE).stdout.strip()
    if state not in ("active", "activating"):
        raise AgentError(f"Patroni on {machine.name} is {state}: {outcome.complaint()}")
    return {"state": state}


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
        counts = _write_facts(old, _facts(restore_id), since)
        return {"facts": counts, "timeline": timeline(old)}
    except psycopg.Error as error:
        raise AgentError(f"the old database does not tell its protective facts: {error}") from error
    finally:
        old.halt()
        shutil.rmtree(_home(restore_id) / "old", ignore_errors=True)


def order(said: Mapping[str, object]) -> Mapping[str, object]:
    """Write down for `initialize` what the cluster is to be restored to; {} takes it away.

    Raises:
        AgentError: a part is missing, or none that can be.
    """
    if not said:
        remove(paths.RESTORE_ORDER)
        return {"ordered": False}
    wish = Wish.parse(said)
    wanted = {
        "label": checks.text(said.get("label"), "label", pgbackrest.LABEL),
        "kind": wish.kind, "value": wish.value, "inclusive": wish.inclusive,
    }  # fmt: skip
    text = json.dumps(wanted, indent=1).encode()
    install(File(paths.RESTORE_ORDER, text, "postgres", "postgres", 0o644))
    return {"ordered": True, **wanted}


def ordered() -> tuple[str, Target] | None:
    """Return the backup and the target that were ordered; None where nothing was.

    Raises:
        AgentError: the order cannot be read: nothing is restored then.
    """
    if not paths.RESTORE_ORDER.exists():
        return None
    try:
        said = checks.mapping(json.loads(paths.RESTORE_ORDER.read_text()), "restore.json")
    except (OSError, ValueError) as error:
        raise AgentError(f"cannot read {paths.RESTORE_ORDER}: {error}") from error
    wish = Wish.parse(said)
    label = checks.text(said.get("label"), "label", pgbackrest.LABEL)
    return label, Target(wish.kind, wish.value, wish.inclusive)


def forget(machine: Machine) -> Mapping[str, object]:
    """Let Patroni's store forget the cluster, as `patronictl remove` does; nobody may run.

    Source: https://patroni.readthedocs.io/en/latest/patronictl.html#patronictl-remove

    Raises:
        AgentError: a Patroni still runs, or the store still knows the cluster.
    """
    running = [name for name, one in patroni.members(machine.database_machines).items() if one]
    if running:
        raise AgentError(f"Patroni still runs on {', '.join(running)}: stop it first")
    key = f"/guestcomms/{machine.scope}/initialize"
    answers = f"{machine.scope}\nYes I am aware\n"
    last = ""
    for answer in (answers, f"{answers}{_leader_key(machine)}\n"):
        outcome = run([*PATRONI, "remove", machine.scope], timeout=REMOVE_TIMEOUT, stdin=answer)
        last = outcome.complaint()
        if etcd.get(machine.name, key) is None:
            return {"forgotten": True}
    raise AgentError(f"Patroni's store still knows the cluster: {last}")


def reached(machine: Machine) -> Mapping[str, object]:
    """Say where the recovery of the database on this machine ended.

    Raises:
        AgentError: it is not open, or has no timeline of its own.
        psycopg.Error: it does not answer.
    """
    with psycopg.connect(database.local_superuser(machine.database), autocommit=True) as connection:
        row = connection.execute(
            "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.left(pg_catalog.pg_walfile_name("
            "pg_catalog.pg_current_wal_insert_lsn()), 8), frozen FROM internal.sending_state"
        ).fetchone()
    recovering, name, frozen = row or (True, "", False)
    if recovering:
        raise AgentError("the database still recovers")
    history = data_directory() / "pg_wal" / f"{name}.history"
    try:
        lines = [line for line in history.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise AgentError(f"the database has no timeline of its own: {error}") from error
    _parent, lsn, reason = lines[-1].split("\t", 2)
    return {"lsn": lsn, "reason": reason, "timeline": int(name, 16), "frozen": frozen is True}


def tell(machine: Machine, restore_id: str, said: Mapping[str, object]) -> Mapping[str, object]:
    """Tell the restored database that it is one, and all that was exported; again is harmless.

    Args:
        machine: which leads the restored cluster and has the file of facts.
        restore_id: the restore.
        said: its row for communication_cluster_restores.

    Returns:
        {"facts": {kind: {"given", "applied"}}}

    Raises:
        AgentError: there is no file of facts.
        psycopg.Error: the database refuses.
    """
    conninfo = database.local_agent(machine.database)
    counts: dict[str, dict[str, int]] = {}
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SELECT internal.record_cluster_restore(%s)", [Jsonb(dict(said))])
        for kind, facts in _batches(_facts(restore_id)):
            row = connection.execute(
                "SELECT internal.apply_protective_facts(%s, %s)", [kind, Jsonb(facts)]
            ).fetchone()
            count = counts.setdefault(kind, {"given": 0, "applied": 0})
            count["given"] += len(facts)
            count["applied"] += int(row[0]) if row else 0
        connection.execute(
            "SELECT internal.finish_cluster_restore(%s, %s)", [restore_id, Jsonb(counts)]
        )
    return {"facts": counts}


def freeze(machine: Machine) -> bool:
    """Freeze sending in a database that was just restored, before anybody can reach it.

    Patroni calls it at the end of a bootstrap, when nobody leads yet; a new cluster has no database
    of ours then.

    Returns:
        Whether there was something to freeze.

    Raises:
        psycopg.Error: it could not be frozen: Patroni then gives the bootstrap up.
    """
    with psycopg.connect(database.local_superuser("postgres"), autocommit=True) as connection:
        query = "SELECT FROM pg_catalog.pg_database WHERE datname = %s"
        if connection.execute(query, [machine.database]).fetchone() is None:
            return False
    with psycopg.connect(database.local_superuser(machine.database)) as connection:
        there = "SELECT pg_catalog.to_regclass('internal.sending_state')"
        if connection.execute(there).fetchone() == (None,):
            return False
        connection.execute("SET LOCAL synchronous_commit = local")  # no standby is there yet
        connection.execute("SET LOCAL ROLE comms_maintenance")
        connection.execute(FREEZE, ["restored from a backup"])
    log.warning("sending is frozen: this database was restored")
    return True


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


def _batches(file: Path) -> Iterator[tuple[str, list[Any]]]:
    """Yield facts of one kind, in the order of the file, so many at a time.

    Raises:
        AgentError: there is no file.
    """
    try:
        stream = file.open(encoding="utf-8")
    except OSError as error:
        raise AgentError(f"the protective facts are not here: {error}") from error
    with stream:
        for kind, lines in groupby(map(json.loads, stream), lambda one: str(one[0])):
            batch: list[Any] = []
            for _, fact in lines:
                batch.append(fact)
                if len(batch) == AT_ONCE:
                    yield kind, batch
                    batch = []
            if batch:
                yield kind, batch


def _no_patroni() -> None:
    if _patroni_runs():
        raise AgentError("Patroni runs on this machine: somebody has started it again")


def _patroni_runs() -> bool:
    """Whether a Patroni is there, whether it answers or not."""
    for commands in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"/usr/bin/patroni" in commands.read_bytes().split(b"\0"):
                return True
    return False


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


def _leader_key(machine: Machine) -> str:
    entry = etcd.get(machine.name, f"/guestcomms/{machine.scope}/leader")
    return entry.value.decode() if entry else ""


def _key(machine: Machine) -> str:
    return f"{RECORDS}{machine.scope}"


def _kept(restore_id: str) -> Path:
    data = data_directory()
    return data.with_name(f"{data.name}.before-{restore_id}")


def _home(restore_id: str) -> Path:
    home = paths.RESTORES / restore_id
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home


def _facts(restore_id: str) -> Path:
    return _home(restore_id) / "facts.jsonl"
