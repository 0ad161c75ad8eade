"""The steps of a restore of the whole cluster that are done on a database machine.

Who leads through them is `guestcomms restore cluster`; where it stands is a record in etcd, which
lives on while the database is replaced. Every step may be done again. What changes something is
done by one caller at a time, and only for whoever holds that record (`alone`). What becomes of the
old data is in `old_data`.
"""

import base64
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from infra.agent import checks, database, etcd, old_data, paths, patroni, pgbackrest
from infra.agent.copies import Target
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.files import File, install, remove
from infra.agent.old_data import LOOK_PATIENCE, PAUSE, SHUTDOWN_PATIENCE
from infra.agent.restore_plan import Wish, data_directory
from infra.agent.run import run

RECORDS = "/guestcomms-restore/"  # beside Patroni's own keys, which `patronictl remove` takes away
PATRONI = ("patronictl", "-c", "/etc/patroni/conf.d")
REMOVE_TIMEOUT = 60.0
AT_ONCE = 1000  # facts that are applied in one call
CHANGES = frozenset(
    ("stop", "start", "settle", "aside", "back", "discard", "fork", "export", "order", "forget",
     "tell", "clean", "document")
)  # fmt: skip
"""Actions that only the holder of the record may do, one at a time on a machine."""
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
    if state not in ("inactive", "failed") or old_data.patroni_runs():
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
        for kind, facts in _batches(old_data.facts_file(restore_id)):
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


def _leader_key(machine: Machine) -> str:
    entry = etcd.get(machine.name, f"/guestcomms/{machine.scope}/leader")
    return entry.value.decode() if entry else ""


def _key(machine: Machine) -> str:
    return f"{RECORDS}{machine.scope}"
