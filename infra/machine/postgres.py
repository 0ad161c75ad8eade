"""PostgreSQL's parameters: sized from memory and cores, then what the spec says."""

from __future__ import annotations

from infra.spec import DATABASE, MOST_DATABASE_NODES, ClusterSpec, SynchronousMode

VERSION = 17
DATA_DIRECTORY = f"/var/lib/postgresql/{VERSION}/wedsync"
SPOOL_DIRECTORY = "/var/lib/postgresql/spool"
PRELOADED = ("pg_cron", "pgaudit", "pg_stat_statements", "pg_wait_sampling")


def dynamic_configuration(spec: ClusterSpec) -> dict[str, object]:
    """Patroni's dynamic configuration: what lives in etcd and changes without a new machine.

    Source: https://patroni.readthedocs.io/en/latest/dynamic_configuration.html
    """
    times = spec.recovery.times
    return {
        "ttl": times.ttl,
        "loop_wait": times.loop_wait,
        "retry_timeout": times.retry_timeout,
        "primary_start_timeout": times.primary_start_timeout,
        # A leader that is cut off waits for standbys that cannot answer, and pg_cron's launcher
        # waits with it whatever it is told: without this its shutdown would never end. Patroni
        # kills it, which is safe where every acknowledged commit is on a standby.
        "primary_stop_timeout": times.primary_stop_timeout,
        "maximum_lag_on_failover": 1048576,
        "synchronous_mode": _synchronous_mode(spec),
        "synchronous_mode_strict": spec.postgres.synchronous_strict,
        "synchronous_node_count": 1,
        "failsafe_mode": True,
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "parameters": parameters(spec),
        },
    }


def _synchronous_mode(spec: ClusterSpec) -> str | bool:
    mode = spec.postgres.synchronous_mode
    return mode.value if mode is SynchronousMode.QUORUM else mode is SynchronousMode.ON


def parameters(spec: ClusterSpec) -> dict[str, str | int | float | bool]:
    """PostgreSQL parameters of the cluster; `spec.postgres.parameters` has the last word."""
    return {
        **_sized(spec),
        **_durability(spec),
        **_planner(),
        **_observability(),
        **_extensions(),
        **spec.postgres.parameters,
    }


def _sized(spec: ClusterSpec) -> dict[str, str | int]:
    memory = spec.machines.database.memory_mib
    cores = max(1, round(spec.machines.database.cores))
    return {
        "shared_buffers": f"{memory // 4}MB",
        "effective_cache_size": f"{memory * 3 // 4}MB",
        # Half of memory over all connections, a few work areas a query; never starved.
        "work_mem": f"{max(4, min(64, memory // 2 // spec.postgres.max_connections))}MB",
        "maintenance_work_mem": f"{max(64, min(2048, memory // 16))}MB",
        "max_connections": spec.postgres.max_connections,
        "max_worker_processes": 8 + 2 * cores,
        "max_parallel_workers": cores,
        "max_parallel_workers_per_gather": cores // 2,
    }


def _durability(spec: ClusterSpec) -> dict[str, str | int | float]:
    return {
        "wal_level": "replica",
        "hot_standby": "on",
        "wal_log_hints": "on",
        "wal_compression": "zstd",
        "synchronous_commit": "on",
        # For as many machines as there may ever be: another number needs a restart of each.
        "max_wal_senders": 10 + MOST_DATABASE_NODES,
        "max_replication_slots": 10 + MOST_DATABASE_NODES,
        "max_wal_size": f"{int(spec.postgres.max_wal_size) // 1024**2}MB",
        "max_slot_wal_keep_size": f"{int(spec.postgres.max_slot_wal_keep_size) // 1024**2}MB",
        # What a standby keeps of an outage of the store, to archive it should it lead: no more than
        # checkpoints and slots may keep anyway.
        "wal_keep_size": f"{_kept_wal(spec) // 1024**2}MB",
        "checkpoint_timeout": "15min",
        "archive_timeout": f"{spec.postgres.archive_timeout_seconds}s",
        "password_encryption": "scram-sha-256",
        "wal_sender_timeout": "10s",
        "wal_receiver_timeout": "10s",
        "tcp_keepalives_idle": 10,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
        "idle_in_transaction_session_timeout": "10min",
        # Longer than a migration tries to lock tables in use (0.7 s): the migration lets go and
        # tries again later, before a client's call is ended as the one to break a circle.
        "deadlock_timeout": "3s",
        "timezone": "UTC",
    }


def _kept_wal(spec: ClusterSpec) -> int:
    """Bytes of WAL that each machine keeps behind its last checkpoint."""
    return min(int(spec.postgres.max_wal_size) // 2, int(spec.postgres.max_slot_wal_keep_size))


def _planner() -> dict[str, str | float]:
    return {
        "random_page_cost": 1.1,  # volumes are SSDs
        "jit": "off",  # calls are short: compiling costs more than it saves
        # Communications, recipients and events are partitioned alike: joined month by month.
        "enable_partitionwise_join": "on",
    }


def _observability() -> dict[str, str | int]:
    return {
        "log_destination": "stderr",
        "logging_collector": "off",  # systemd's journal keeps it
        "log_line_prefix": "%m [%p] %q%u@%d %a ",
        "log_checkpoints": "on",
        "log_lock_waits": "on",
        "log_temp_files": "16MB",
        "log_autovacuum_min_duration": "1s",
        "log_min_duration_statement": "2s",
        # Bound values may be personal data: they never reach the log. Literals written into SQL
        # do, which is one more reason for programs to bind theirs.
        "log_parameter_max_length": 0,
        "log_parameter_max_length_on_error": 0,
        "track_io_timing": "on",
        "track_functions": "pl",
        "pg_stat_statements.max": 10000,
        "pgaudit.log": "ddl, role",
        "pgaudit.log_parameter": "off",
    }


def _extensions() -> dict[str, str | int]:
    return {
        "shared_preload_libraries": ",".join(PRELOADED),
        "cron.database_name": DATABASE,
        "cron.use_background_workers": "on",
        "cron.timezone": "UTC",
    }
