"""Runs on a machine under load, as root, and prints what it sees: one JSON object a line.

It is sent there as text (`python3 -c`), so it needs nothing but what every machine has: Python and,
on database machines, psycopg. Arguments: seconds until it ends by itself, seconds between samples,
the database. CPU times come from /proc, whatever the cgroup version: seconds since the start.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
import time
from pathlib import Path
from typing import Any

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SOCKETS = Path("/run/postgresql")
# By their programs' names as /proc has them; what is not here is `other`.
COMPONENTS = ("postgres", "pgbouncer", "haproxy", "etcd", "patroni", "prometheus", "pgbackrest")
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
            xact_rollback AS rollbacks, deadlocks, pg_database_size(datid) AS size
        FROM pg_stat_database WHERE datname = current_database()
    """,
    "wal": "SELECT wal_bytes::float8 AS bytes, wal_fpi AS full_pages FROM pg_stat_wal",
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
            connection = self._open.pop(way, None)
            if connection is not None:
                connection.close()
            return None
        return found


def processes() -> tuple[dict[str, float], dict[str, int]]:
    """CPU seconds and resident bytes of each component."""
    cpu: dict[str, float] = {}
    memory: dict[str, int] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text()
        except OSError:  # it has ended
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        rest = text[text.rindex(")") + 2 :].split()
        own = next((one for one in COMPONENTS if name.startswith(one)), "other")
        # Its own time, and that of children that have ended and were waited for.
        cpu[own] = cpu.get(own, 0) + sum(map(int, rest[11:15])) / TICK
        memory[own] = memory.get(own, 0) + int(rest[21]) * PAGE
    return cpu, memory


def machine() -> dict[str, float]:
    """CPU seconds of the whole machine; in a container, of its host."""
    spent = [int(one) for one in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = spent[3] + spent[4]
    return {"busy": (sum(spent) - idle) / TICK, "idle": idle / TICK, "cores": os.cpu_count() or 1}


def pooler(reader: Reader) -> dict[str, float] | None:
    """PgBouncer's clients and connections; None if it does not answer.

    Each login has a pool of `size` connections; `busiest` are those at work of the busiest one.
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
    return {**found, "busiest": busiest, "maxwait": max(waits, default=0), "size": size}


def database(reader: Reader) -> dict[str, Any] | None:
    """What the leader's statistics say; of a standby only that it is one."""
    state = reader.rows("database", "SELECT pg_is_in_recovery() AS standby")
    if not state:
        return None
    if state[0]["standby"]:
        return {"standby": True}
    found: dict[str, Any] = {"standby": False}
    for name, query in QUERIES.items():
        rows = reader.rows("database", query)
        found[name] = rows if name in LISTS else rows[0] if rows else None
    return found


def main() -> None:
    """Sample until the time is over or nobody reads."""
    seconds, interval = float(sys.argv[1]), float(sys.argv[2])
    if SOCKETS.is_dir():
        os.seteuid(pwd.getpwnam("postgres").pw_uid)  # peer authentication
    reader, began = Reader(sys.argv[3]), time.time()
    while time.time() - began < seconds:
        cpu, memory = processes()
        now = time.time()
        sample: dict[str, Any] = {"t": now, "cpu": cpu, "memory": memory, "machine": machine()}
        if SOCKETS.is_dir():
            sample |= {"pool": pooler(reader), "database": database(reader)}
        try:
            print(json.dumps(sample, default=float), flush=True)  # noqa: T201 - its output
        except BrokenPipeError:
            return
        time.sleep(max(0.1, interval - (time.time() - now)))


if __name__ == "__main__":
    main()
