"""`health`: what is true of the cluster right now, as one JSON object, within five seconds.

Members come from each Patroni's own answer and replication from pg_stat_replication on the leader:
Patroni's /cluster shows members that are gone for as long as its ttl. A machine that is no database
judges itself.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from psycopg.rows import dict_row

from infra.agent import bootstrap, database, etcd, machine_health, monitor, paths, patroni
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.run import one_line
from infra.agent.verdict import Leader, Seen, describe, leader_of

_REPLICATION = """
    SELECT application_name AS name, state, sync_state,
           pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)::bigint
               AS replay_lag_bytes
    FROM pg_catalog.pg_stat_replication
    WHERE application_name = ANY (%s)
    ORDER BY application_name"""
_ARCHIVER = """
    SELECT last_archived_wal, last_archived_time AS last_archived_at,
           last_failed_wal, last_failed_time AS last_failed_at, failed_count
    FROM pg_catalog.pg_stat_archiver"""


def report(machine: Machine) -> Mapping[str, Any]:
    """Return the health of the cluster, or of this machine alone where it is no database.

    `healthy` is the verdict and `problems` its reasons, each a sentence with what to look at.
    """
    if machine.role != "database":
        return machine_health.report(machine)
    return describe(look(machine))


def look(machine: Machine) -> Seen:
    """Ask everyone at once, each with its own short deadline."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        asked_etcd = pool.submit(etcd.members, machine.database_machines)
        asked_monitor = pool.submit(monitor.look)
        members = patroni.members(machine.database_machines)
        name = leader_of(members)
        return Seen(
            machine=machine,
            members=members,
            leader=ask_leader(machine, name) if name else Leader(error="there is no leader to ask"),
            etcd=asked_etcd.result(),
            monitor=asked_monitor.result(),
            bootstrap_wanted=_wanted(),
            stanza_ready=paths.STANZA_READY.exists(),
            refused=paths.REFUSED.read_text().strip() if paths.REFUSED.exists() else None,
        )


def ask_leader(machine: Machine, name: str) -> Leader:
    """Read replication, archiver and applied bootstrap from the PostgreSQL of machine `name`."""
    try:
        with (
            psycopg.connect(database.monitor(name, machine.database)) as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            replication = cursor.execute(_REPLICATION, [list(machine.database_machines)]).fetchall()
            archiver = cursor.execute(_ARCHIVER).fetchone()
            return Leader(tuple(replication), archiver or {}, bootstrap.applied(connection))
    except psycopg.Error as error:
        return Leader(error=one_line(str(error)))


def _wanted() -> str | None:
    """The bootstrap this machine was given; None for a caller that may not read it."""
    try:
        return bootstrap.fingerprint(*bootstrap.wanted())
    except AgentError:
        return None
