"""The parts of a cluster: machines, PostgreSQL, pools, recovery, backup."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ByteSize, Field, model_validator

from infra.spec.fields import MIB, Above0, Cores, Cron, Section, Size


class MachineSize(Section):
    """Memory and cores of one kind of machine."""

    memory: Size = ByteSize(512 * MIB)
    cores: Cores = 1

    @property
    def memory_mib(self) -> int:
        """Memory in MiB."""
        return int(self.memory) // MIB


class Machines(Section):
    """How many database machines there are and how large every kind is."""

    database_nodes: Literal[3, 5, 7] = 3
    """Each runs PostgreSQL and an etcd member: an odd number, so that a majority exists."""
    proxies: Annotated[int, Field(ge=1, le=3)] = 1
    """More than one only where the place has something in front that spreads over them."""
    database: MachineSize = MachineSize(memory=ByteSize(2048 * MIB), cores=2)
    proxy: MachineSize = MachineSize()
    store: MachineSize = MachineSize(memory=ByteSize(1024 * MIB))
    monitor: MachineSize = MachineSize()
    drill: MachineSize = MachineSize(memory=ByteSize(1024 * MIB))
    image_edition: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9.-]{0,31})?$")] = ""
    """A new word here builds the machine image anew, with the Debian packages of that day, and
    every machine is replaced by one from it."""
    postgresql_version: Annotated[str, Field(pattern=r"^(17\.[0-9]+[a-z0-9.+~-]{0,31})?$")] = ""
    """Debian's exact version of PostgreSQL, such as 17.11-0+deb13u1; empty: the newest when the
    image is built. Holds a minor release back, or goes back to the one before."""


class SynchronousMode(StrEnum):
    """Patroni's synchronous_mode; `off` may lose acknowledged commits in a failover."""

    QUORUM = "quorum"
    ON = "on"
    OFF = "off"


class Postgres(Section):
    """PostgreSQL settings that a person chooses; the rest is sized from memory and cores."""

    max_connections: Annotated[int, Field(ge=50, le=5000)] = 400
    archive_timeout_seconds: Annotated[int, Field(ge=10, le=60)] = 30
    """Bounds the loss if the whole cluster burns: a promise of at most 60 s."""
    max_wal_size: Size = ByteSize(2048 * MIB)
    max_slot_wal_keep_size: Size = ByteSize(4096 * MIB)
    """WAL kept for a standby that is away; past it the standby is rebuilt, the disk not filled."""
    synchronous_mode: SynchronousMode = SynchronousMode.QUORUM
    synchronous_strict: bool = False
    """Stop writes when no standby can confirm them, instead of alerting and going on."""
    parameters: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Further PostgreSQL parameters; they win over the sized ones."""

    RESERVED: ClassVar[frozenset[str]] = frozenset(
        {
            "archive_command",
            "archive_mode",
            "archive_timeout",
            "cron.database_name",
            "data_directory",
            "fsync",
            "full_page_writes",
            "hot_standby",
            "hba_file",
            "ident_file",
            "listen_addresses",
            "log_parameter_max_length",
            "log_parameter_max_length_on_error",
            "max_connections",
            "max_slot_wal_keep_size",
            "password_encryption",
            "port",
            "restore_command",
            "shared_preload_libraries",
            "ssl",
            "ssl_ca_file",
            "ssl_cert_file",
            "ssl_key_file",
            "synchronous_commit",
            "synchronous_standby_names",
            "unix_socket_directories",
            "wal_level",
            "wal_log_hints",
        }
    )

    @model_validator(mode="after")
    def _keep_reserved(self) -> Postgres:
        if taken := sorted(self.RESERVED & set(self.parameters)):
            raise ValueError(f"parameters may not set {', '.join(taken)}: the project sets them")
        return self


class Pooler(Section):
    """PgBouncer on every database machine, in transaction mode."""

    max_clients: Annotated[int, Field(ge=100, le=20000)] = 5000
    pool_size: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Server connections of each login on one machine, to begin with: once the database is
    migrated, communication_pool_config decides. Without a number: see `ClusterSpec.pool_size`."""
    max_prepared_statements: Annotated[int, Field(ge=0, le=10000)] = 200
    query_wait_timeout_seconds: Annotated[int, Field(ge=1, le=300)] = 30


class RecoveryPlan(StrEnum):
    """How fast a dead leader is replaced, against how easily a slow one is."""

    FAST = "fast"
    NORMAL = "normal"
    WIDE = "wide"


class RecoveryTimes(Section):
    """One row of the recovery-time plan: all times in seconds."""

    ttl: int
    loop_wait: int
    retry_timeout: int
    primary_start_timeout: int
    primary_stop_timeout: int
    check_interval: float
    check_fall: int

    @model_validator(mode="after")
    def _lease_outlives_a_retry(self) -> RecoveryTimes:
        # Patroni's own rule: a leader must get two retries in before its lease ends.
        if self.loop_wait + 2 * self.retry_timeout > self.ttl:
            raise ValueError("loop_wait + 2 * retry_timeout must not exceed ttl")
        # Ours: one that finds itself alone is down before another may lead.
        if self.loop_wait + self.retry_timeout + self.primary_stop_timeout > self.ttl:
            raise ValueError("loop_wait + retry_timeout + primary_stop_timeout must not exceed ttl")
        return self


RECOVERY_TIMES: Mapping[RecoveryPlan, RecoveryTimes] = {
    RecoveryPlan.FAST: RecoveryTimes(
        ttl=20, loop_wait=5, retry_timeout=5, primary_start_timeout=10, primary_stop_timeout=10,
        check_interval=1, check_fall=2,
    ),
    RecoveryPlan.NORMAL: RecoveryTimes(
        ttl=30, loop_wait=5, retry_timeout=10, primary_start_timeout=25, primary_stop_timeout=15,
        check_interval=2, check_fall=2,
    ),
    RecoveryPlan.WIDE: RecoveryTimes(
        ttl=120, loop_wait=20, retry_timeout=30, primary_start_timeout=95, primary_stop_timeout=60,
        check_interval=4, check_fall=3,
    ),
}  # fmt: skip


class Recovery(Section):
    """The recovery-time plan by name; `fast` keeps a write outage under 25 s."""

    plan: RecoveryPlan = RecoveryPlan.FAST

    @property
    def times(self) -> RecoveryTimes:
        """The times of the chosen plan."""
        return RECOVERY_TIMES[self.plan]


class Backup(Section):
    """When backups are taken and how long they are kept."""

    full_schedule: Cron = "0 1 * * *"
    incremental_schedule: Cron = "0 */4 * * *"
    wal_audit_schedule: Cron = "17 * * * *"
    verify_schedule: Cron = "30 2 * * 0"
    """Reads every file in the repository."""
    store_limit_gib: Above0 | None = None
    """What the repository may grow to: a bucket has no end of its own, a bill has."""
    drill_schedule: Cron = "30 2 * * *"
    """When a backup is restored on the drill machine, to prove that it can be."""
    retention_days: Annotated[int, Field(ge=30, le=3650)] = 30
    object_lock_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """For so long nobody, not even with the backup keys, can delete a stored version."""
    compress_level: Annotated[int, Field(ge=1, le=19)] = 3
    processes: Annotated[int, Field(ge=1, le=32)] = 2
