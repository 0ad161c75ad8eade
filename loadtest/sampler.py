"""Runs on a machine under load, as root, and prints what it sees: one JSON object a line.

It is sent there as text (`python3 -c`), so it needs nothing but what every machine has: Python and,
on database machines, psycopg. Arguments: seconds until it ends by itself, seconds between samples,
the database, the login whose clients are counted on their own. CPU times come from /proc, whatever
the cgroup version: seconds since the start.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SOCKETS = Path("/run/postgresql")
PROC = Path("/proc")
# By their programs' names as /proc has them; what is not here is `other`, and what begins with
# `prometheus` an exporter.
COMPONENTS = ("postgres", "pgbouncer", "haproxy", "etcd", "patroni", "pgbackrest")
# Asked for with every sample: statistics in memory, and no table but the queue of chunks.
QUERIES = {
    "activity": """
        SELECT state, coalesce(wait_event_type, 'CPU') AS type,
            coalesce(wait_event, 'running') AS event, count(*) AS sessions
        FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
            AND datname = current_database() AND usename NOT LIKE 'guestcomms%'
        GROUP BY 1, 2, 3
    """,
    "statistics": """
        SELECT blks_hit AS hit, blks_read AS read, xact_commit AS commits,
            xact_rollback AS rollbacks, deadlocks
        FROM pg_stat_database WHERE datname = current_database()
    """,
    "wal": "SELECT wal_bytes::float8 AS bytes, wal_fpi AS full_pages FROM pg_stat_wal",
    # Blocks read and written and calls of fsync, of tables and of WAL, since the server started.
    "io": """
        SELECT sum(io.reads)::float8 AS reads,
            (sum(coalesce(io.writes, 0) + coalesce(io.extends, 0)) + max(wal.wal_write))::float8
                AS writes,
            (sum(io.fsyncs) + max(wal.wal_sync))::float8 AS fsyncs
        FROM pg_stat_io AS io CROSS JOIN pg_stat_wal AS wal
    """,
    "replication": """
        SELECT application_name AS name, sync_state AS state,
            pg_wal_lsn_diff(pg_current_wal_insert_lsn(), replay_lsn)::float8 AS lag_bytes
        FROM pg_stat_replication
    """,
    "locks": "SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted",
    "functions": """
        SELECT funcname AS name, sum(calls)::float8 AS calls, sum(total_time) AS ms
        FROM pg_stat_user_functions WHERE schemaname = 'public' GROUP BY funcname
    """,
    "queue": """
        SELECT coalesce(sum(recipients), 0)::float8 AS messages
        FROM public.communication_batch_queue WHERE operation_type = 'send'
    """,
}
LISTS = {"activity", "replication", "functions"}
# These look at every file or table: seldom. Rows are those that the statistics system counts.
SELDOM_SECONDS = 30.0
SELDOM = {
    "sizes": "SELECT pg_database_size(current_database())::float8 AS bytes",
    "tables": """
        SELECT sum(pg_stat_get_live_tuples(oid))::float8 AS live,
            sum(pg_stat_get_dead_tuples(oid))::float8 AS dead,
            sum(pg_relation_size(oid))::float8 AS bytes,
            pg_total_relation_size('public.communication_batch_queue')::float8 AS queue_bytes
        FROM pg_class WHERE relkind IN ('r', 'm', 't')
    """,
}

Rows = list[dict[str, Any]]


class Reader:
    """Connections that are made again when they are lost."""

    def __init__(self, database: str) -> None:
        self._open: dict[str, Any] = {}
        self._ways: dict[str, dict[str, Any]] = {
            "database": {"port": 5432, "user": "postgres", "dbname": database},
            "console": {"port": 6432, "user": "pgbouncer", "dbname": "pgbouncer"},
        }

    def rows(self, way: str, query: str) -> Rows | None:
        """What a query answers; None if there is no answer now."""
        import psycopg
        from psycopg.rows import dict_row

        try:
            if way not in self._open:
                self._open[way] = psycopg.connect(
                    host=str(SOCKETS), connect_timeout=2, autocommit=True, row_factory=dict_row,
                    application_name="guestcomms load", **self._ways[way],
                )  # fmt: skip
            found: Rows = self._open[way].execute(query, prepare=False).fetchall()
        except psycopg.Error:
            if way in self._open and self._open[way].closed:
                del self._open[way]
            return None
        return found


@dataclass
class Used:
    """What each component has used: seconds of CPU, bytes of memory of its own, processes.

    Memory is anonymous memory: resident without files and without shared memory, which every
    process of PostgreSQL would show once more.
    """

    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)


def processes(proc: Path = PROC) -> Used:
    """What the components use, by what /proc says of every process (proc_pid_stat(5))."""
    seen: dict[str, tuple[str, list[str]]] = {}
    for folder in proc.iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text()
            except OSError:  # it has ended
                continue
            name = text[text.index("(") + 1 : text.rindex(")")]
            seen[folder.name] = name, text[text.rindex(")") + 2 :].split()
    used = Used()
    for number, (name, rest) in seen.items():
        own = component(name)
        user, system, user_of_children, system_of_children = map(int, rest[11:15])
        used.cpu[own] = used.cpu.get(own, 0) + (user + system) / TICK
        # Of children that have ended and were waited for. Those of the first process of PostgreSQL
        # were its backends; those of the others (archiver, startup process) are pgBackRest.
        parent = seen.get(rest[1], ("", []))[0]
        heir = "pgbackrest" if own == component(parent) == "postgres" else own
        inherited = (user_of_children + system_of_children) / TICK
        if inherited:
            used.cpu[heir] = used.cpu.get(heir, 0) + inherited
        if own != "other":
            used.processes[own] = used.processes.get(own, 0) + 1
            used.memory[own] = used.memory.get(own, 0) + _anonymous(proc / number)
    return used


def component(name: str) -> str:
    """The component of a program."""
    if name.startswith("prometheus"):
        return "prometheus"
    return name if name in COMPONENTS else "other"


def _anonymous(folder: Path) -> int:
    try:
        fields = (folder / "statm").read_text().split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * PAGE


def machine() -> dict[str, float]:
    """CPU seconds of the whole machine; in a container, of its host."""
    spent = [int(one) for one in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = spent[3] + spent[4]
    return {"busy": (sum(spent) - idle) / TICK, "idle": idle / TICK, "cores": os.cpu_count() or 1}


def pooler(reader: Reader, login: str) -> dict[str, float] | None:
    """PgBouncer's clients and connections; None if it does not answer.

    Each login has a pool of `size` connections; `busiest` are those at work of the busiest one.
    `cl_login` are the clients of `login`, the others are of everybody.
    """
    pools, sizes = reader.rows("console", "SHOW POOLS"), reader.rows("console", "SHOW DATABASES")
    if pools is None or sizes is None:
        return None
    ours = [one for one in pools if one["database"] != "pgbouncer"]
    waits = [int(one["maxwait"]) + int(one["maxwait_us"]) / 1e6 for one in ours]
    names = ("cl_active", "cl_waiting", "sv_active", "sv_idle")
    found: dict[str, float] = {key: sum(int(one[key]) for one in ours) for key in names}
    size = max((int(one["pool_size"]) for one in sizes if one["name"] != "pgbouncer"), default=0)
    busiest = max((int(one["sv_active"]) for one in ours), default=0)
    found["cl_login"] = sum(
        int(one["cl_active"]) + int(one["cl_waiting"]) for one in ours if one["user"] == login
    )
    return {**found, "busiest": busiest, "maxwait": max(waits, default=0), "size": size}


def database(reader: Reader, *, seldom: bool) -> dict[str, Any] | None:
    """What the leader's statistics say; of a standby only that it is one.

    Parameters: `seldom`, whether that is asked as well which takes a look at every table.
    """
    state = reader.rows("database", "SELECT pg_is_in_recovery() AS standby")
    if not state:
        return None
    if state[0]["standby"]:
        return {"standby": True}
    found: dict[str, Any] = {"standby": False}
    for name, query in (QUERIES | SELDOM if seldom else QUERIES).items():
        rows = reader.rows("database", query)
        found[name] = rows if name in LISTS else rows[0] if rows else None
    return found


def main() -> None:
    """Sample until the time is over or nobody reads."""
    seconds, interval, name, login = float(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:5]
    if SOCKETS.is_dir():
        os.seteuid(pwd.getpwnam("postgres").pw_uid)  # peer authentication
    reader, began, asked = Reader(name), time.time(), 0.0
    while time.time() - began < seconds:
        used, now = processes(), time.time()
        sample: dict[str, Any] = {
            "t": now, "interval": interval, "cpu": used.cpu, "memory": used.memory,
            "processes": used.processes, "machine": machine(),
        }  # fmt: skip
        if SOCKETS.is_dir():
            # A short run, too, has a dozen of them.
            seldom = now - asked >= min(SELDOM_SECONDS, seconds / 12)
            asked = now if seldom else asked
            sample |= {"pool": pooler(reader, login), "database": database(reader, seldom=seldom)}
        try:
            print(json.dumps(sample, default=float), flush=True)  # noqa: T201 - its output
        except BrokenPipeError:
            return
        time.sleep(max(0.1, interval - (time.time() - now)))


if __name__ == "__main__":
    main()
