"""What a cluster is: one typed model with safe defaults, filled from stack configuration.

A stack differs from another only by the data it puts in here; everything after this
module (machine files, places, policies) is a function of a ClusterSpec.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

CONFIG_NAMESPACE = "guestcomms"
DATABASE = "wedsync"
STANZA = "wedsync"
SCOPE = "wedsync"
PATRONI_NAMESPACE = "/guestcomms/"

MIB = 1024**2


class SpecError(ValueError):
    """The stack configuration does not describe a cluster we would run."""


def _at_least_256_mib(value: ByteSize) -> ByteSize:
    if value < 256 * MIB:
        raise ValueError("at least 256MiB, written like 512MiB or 2GiB")
    return value


def _cron(value: str) -> str:
    if len(value.split()) != 5 or not set(value) <= set("0123456789*/,- "):
        raise ValueError("a five-field cron expression in UTC, such as 0 1 * * *")
    return value


def _size_text(value: object) -> object:
    if not isinstance(value, (str, ByteSize)):
        raise ValueError("a size with its unit, such as 512MiB or 2GiB")
    return value


Size = Annotated[ByteSize, BeforeValidator(_size_text), AfterValidator(_at_least_256_mib)]
Cron = Annotated[str, AfterValidator(_cron)]
Port = Annotated[int, Field(ge=1024, le=65535)]
Cores = Annotated[float, Field(ge=0.1, le=192)]
Percent = Annotated[float, Field(gt=0, le=100)]


class Section(BaseModel):
    """A part of the spec: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


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
    database: MachineSize = MachineSize(memory=ByteSize(2048 * MIB), cores=2)
    proxy: MachineSize = MachineSize()
    store: MachineSize = MachineSize(memory=ByteSize(1024 * MIB))
    monitor: MachineSize = MachineSize()
    drill: MachineSize = MachineSize(memory=ByteSize(1024 * MIB))
    image_edition: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9.-]{0,31})?$")] = ""
    """A new word here builds the machine image anew, with the Debian packages of that day, and
    every machine is replaced by one from it."""


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
    parameters: dict[str, str | int | float | bool] = {}
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
    pool_size: Annotated[int, Field(ge=1, le=1000)] = 20
    """Server connections of one database and user on one machine, to begin with: once the
    database is migrated, communication_pool_config decides."""
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
    check_interval: float
    check_fall: int

    @model_validator(mode="after")
    def _lease_outlives_a_retry(self) -> RecoveryTimes:
        # Patroni's own rule: a leader must get two retries in before its lease ends.
        if self.loop_wait + 2 * self.retry_timeout > self.ttl:
            raise ValueError("loop_wait + 2 * retry_timeout must not exceed ttl")
        return self


RECOVERY_TIMES: Mapping[RecoveryPlan, RecoveryTimes] = {
    RecoveryPlan.FAST: RecoveryTimes(
        ttl=20, loop_wait=5, retry_timeout=5, primary_start_timeout=10,
        check_interval=1, check_fall=2,
    ),
    RecoveryPlan.NORMAL: RecoveryTimes(
        ttl=30, loop_wait=5, retry_timeout=10, primary_start_timeout=25,
        check_interval=2, check_fall=2,
    ),
    RecoveryPlan.WIDE: RecoveryTimes(
        ttl=120, loop_wait=20, retry_timeout=30, primary_start_timeout=95,
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
    retention_days: Annotated[int, Field(ge=30, le=3650)] = 30
    object_lock_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """For so long nobody, not even with the backup keys, can delete a stored version."""
    compress_level: Annotated[int, Field(ge=1, le=19)] = 3
    processes: Annotated[int, Field(ge=1, le=32)] = 2


class Alerts(Section):
    """Thresholds; percentages unless the name says otherwise.

    `replication_lag_warning_mib` is in the alert rules and `full_backup_age_critical_hours` in
    `guestcomms status`; the others wait for the metrics they judge.
    """

    error_rate_critical: Percent = 5
    average_query_time_critical_ms: Annotated[float, Field(gt=0)] = 2000
    active_connections_critical: Percent = 95
    cache_hit_ratio_warning: Percent = 70
    disk_usage_warning: Percent = 80
    replication_lag_warning_mib: Annotated[int, Field(ge=1)] = 64
    full_backup_age_critical_hours: Annotated[int, Field(ge=1)] = 26


class Ports(Section):
    """Ports on 127.0.0.1 that lead to the cluster."""

    read_write: Port = 5432
    read_only: Port = 5433
    direct: Port = 5434
    """PostgreSQL of the leader without the pooler: for migrations and session features."""
    prometheus: Port = 9090
    alertmanager: Port = 9093
    statistics: Port = 8404

    @model_validator(mode="after")
    def _distinct(self) -> Ports:
        used: dict[int, str] = {}
        for key in type(self).model_fields:
            port = getattr(self, key)
            if port in used:
                raise ValueError(f"{used[port]} and {key} both want port {port}; give each its own")
            used[port] = key
        return self


class LocalPlace(Section):
    """The cluster as systemd containers on this machine's Docker engine."""

    kind: Literal["local"] = "local"
    ports: Ports = Ports()


class ClusterSpec(Section):
    """A whole cluster. `stack` is its name; everything else comes from stack configuration."""

    stack: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    bootstrap: Literal["new", "restore"] = "new"
    """Start empty, or from the newest moment in a backup store that already holds the stanza."""
    machines: Machines = Machines()
    postgres: Postgres = Postgres()
    pooler: Pooler = Pooler()
    recovery: Recovery = Recovery()
    backup: Backup = Backup()
    alerts: Alerts = Alerts()
    place: LocalPlace = LocalPlace()

    @model_validator(mode="after")
    def _pools_fit(self) -> ClusterSpec:
        allowed = self.postgres.max_connections - RESERVED_CONNECTIONS
        if self.pooler.pool_size > allowed:
            raise ValueError(
                f"pooler.pool_size is {self.pooler.pool_size}, but postgres.max_connections"
                f" {self.postgres.max_connections} leaves {allowed} to the pooler;"
                " lower the pool or raise max_connections"
            )
        return self

    @classmethod
    def config_keys(cls) -> tuple[str, ...]:
        """The stack configuration keys, each a section of the spec."""
        return tuple(name for name in cls.model_fields if name != "stack")

    @classmethod
    def load(cls, stack: str, config: Mapping[str, Any]) -> ClusterSpec:
        """Build the spec of `stack` from its configuration, key → value.

        Raises:
            SpecError: names every wrong key, the value got and the values allowed.
        """
        try:
            return cls.model_validate({**config, "stack": stack})
        except ValidationError as error:
            raise SpecError("\n".join(_explain(item) for item in error.errors())) from None

    @property
    def database_names(self) -> tuple[str, ...]:
        """Names of the database machines, pg-1 first."""
        return tuple(f"pg-{n}" for n in range(1, self.machines.database_nodes + 1))


RESERVED_CONNECTIONS = 30
"""Kept out of the pools: superuser, replication, agents, exporters, migrations, a person."""


def _explain(item: Any) -> str:
    """One pydantic error as `key: what is wrong, value got, what is allowed`."""
    path = ".".join(str(part) for part in item["loc"])
    key = f"{CONFIG_NAMESPACE}:{path}" if path else CONFIG_NAMESPACE
    if item["type"] == "extra_forbidden":
        return f"{key}: no such setting; known here: {', '.join(_known(item['loc']))}"
    allowed = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    got = item["input"]
    shown = "" if isinstance(got, (Section, dict)) else f"got {got!r}; "
    return f"{key}: {shown}allowed: {allowed}" if shown else f"{key}: {allowed}"


def _known(loc: tuple[str | int, ...]) -> list[str]:
    """The settings that exist beside the unknown one at `loc`."""
    model: type[BaseModel] = ClusterSpec
    for part in loc[:-1]:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return sorted(name for name in model.model_fields if name != "stack")
