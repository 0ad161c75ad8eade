"""What a cluster is: one typed model with safe defaults, filled from stack configuration.

A stack differs from another only by the data it puts in here; everything after this
module (machine files, places, policies) is a function of a ClusterSpec.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

CONFIG_NAMESPACE = "guestcomms"
DATABASE = "wedsync"
STANZA = "wedsync"
SCOPE = "wedsync"
PATRONI_NAMESPACE = "/guestcomms/"

MOST_DATABASE_NODES = 7
MIB = 1024**2
GIB = 1024**3


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


def _whole_gib(value: ByteSize) -> ByteSize:
    if value % GIB or not GIB <= value <= 16384 * GIB:
        raise ValueError("whole GiB from 1GiB to 16384GiB, written like 100GiB")
    return value


def _network(value: str) -> str:
    try:
        return str(ipaddress.IPv4Network(value))
    except ValueError:
        raise ValueError("an IPv4 network without host bits, such as 10.60.0.0/16") from None


Size = Annotated[ByteSize, BeforeValidator(_size_text), AfterValidator(_at_least_256_mib)]
VolumeSize = Annotated[ByteSize, BeforeValidator(_size_text), AfterValidator(_whole_gib)]
Network = Annotated[str, AfterValidator(_network)]
Cron = Annotated[str, AfterValidator(_cron)]
Port = Annotated[int, Field(ge=1024, le=65535)]
Cores = Annotated[float, Field(ge=0.1, le=192)]
Percent = Annotated[float, Field(gt=0, le=100)]
Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
InstanceType = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$")]


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


Above0 = Annotated[float, Field(gt=0)]
ReceiverName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
Severity = Literal["critical", "warning"]


class Alerts(Section):
    """Thresholds of the alert rules, and how often people are told.

    Percentages unless the name says otherwise. The first five are those of the operations manual.
    """

    error_rate_critical: Percent = 5
    """Transactions of the database that were rolled back."""
    average_query_time_critical_ms: Above0 = 2000
    active_connections_critical: Percent = 95
    """Of a pool's server connections, of a pooler's clients, of PostgreSQL's sessions."""
    cache_hit_ratio_warning: Percent = 70
    disk_usage_warning: Percent = 80
    disk_usage_critical: Percent = 92
    disk_forecast_warning_hours: Above0 = 24
    """Warn when the growth of the last hours would fill a disk within this time."""
    etcd_quota_warning: Percent = 80
    replication_lag_warning_mib: Above0 = 64
    replication_lag_critical_mib: Above0 = 1024
    slot_wal_warning: Percent = 50
    """Of postgres.max_slot_wal_keep_size, past which a standby has to be rebuilt."""
    oldest_transaction_warning_minutes: Above0 = 15
    transaction_id_age_warning_million: Above0 = 500
    transaction_id_age_critical_million: Above0 = 1500
    pool_wait_warning_seconds: Above0 = 5
    archive_late_critical_minutes: Above0 = 10
    full_backup_age_critical_hours: Above0 = 26
    any_backup_age_warning_hours: Above0 = 6
    wal_audit_age_warning_hours: Above0 = 3
    verification_age_warning_hours: Above0 = 192
    restore_proven_critical_hours: Above0 = 48
    """Since a restore drill last proved a backup."""
    certificate_expiry_warning_days: Above0 = 21
    certificate_expiry_critical_days: Above0 = 7
    clock_skew_warning_seconds: Above0 = 2
    queue_oldest_critical_minutes: Above0 = 15
    queue_recipients_warning: Annotated[int, Field(ge=1)] = 500_000
    delivery_minimum_messages: Annotated[int, Field(ge=1)] = 100
    """Rates of fewer messages than this say nothing."""
    delivery_failure_warning: Percent = 5
    bounce_rate_warning: Percent = 5
    complaint_rate_warning: Percent = 0.1
    patience: Annotated[float, Field(ge=0.01, le=100)] = 1
    """Factor on how long a condition has to last before its alert fires."""
    group_wait_seconds: Annotated[int, Field(ge=0, le=3600)] = 10
    group_interval_seconds: Annotated[int, Field(ge=1, le=86400)] = 300
    """Between two messages on alerts of one name; also how late people hear that one is over."""
    repeat_critical_minutes: Annotated[int, Field(ge=1)] = 60
    repeat_warning_minutes: Annotated[int, Field(ge=1)] = 720
    runbooks: Annotated[str, Field(pattern=r"^[!-~]*[^/]$")] = "docs/runbooks"
    """Where a message sends people to: a folder of this repository, or its address."""


class WebhookReceiver(Section):
    """Alertmanager's JSON by POST; the secret is the whole URL."""

    kind: Literal["webhook"]
    name: ReceiverName
    severities: tuple[Severity, ...] = ("critical", "warning")


class EmailReceiver(Section):
    """E-mail through a smarthost with STARTTLS; the secret is its password."""

    kind: Literal["email"]
    name: ReceiverName
    severities: tuple[Severity, ...] = ("critical", "warning")
    to: Annotated[str, Field(pattern=r"^[^\s@]+@[^\s@]+$")]
    sender: Annotated[str, Field(pattern=r"^[^\s@]+@[^\s@]+$")]
    smarthost: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+:[0-9]+$")]
    username: Annotated[str, Field(min_length=1)]


class PagerDutyReceiver(Section):
    """PagerDuty's Events API v2; the secret is the integration's routing key."""

    kind: Literal["pagerduty"]
    name: ReceiverName
    severities: tuple[Severity, ...] = ("critical",)


class SnsReceiver(Section):
    """An SNS topic; no secret: the machine's role may publish to it."""

    kind: Literal["sns"]
    name: ReceiverName
    severities: tuple[Severity, ...] = ("critical", "warning")
    topic_arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[\w-]+$")]

    @property
    def region(self) -> str:
        """The topic's region, which its name tells."""
        return self.topic_arn.split(":")[3]


class HeartbeatReceiver(Section):
    """A service outside that misses the monitor; the secret is its URL.

    It gets a POST each minute, and calls people when none comes.
    """

    kind: Literal["heartbeat"]
    name: ReceiverName


class SnsHeartbeatReceiver(SnsReceiver):
    """An SNS topic that gets a message each minute; an alarm outside misses it."""

    kind: Literal["sns-heartbeat"]  # type: ignore[assignment]
    severities: tuple[Severity, ...] = ()


Receiver = Annotated[
    WebhookReceiver
    | EmailReceiver
    | PagerDutyReceiver
    | SnsReceiver
    | HeartbeatReceiver
    | SnsHeartbeatReceiver,
    Field(discriminator="kind"),
]


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


class InstanceTypes(Section):
    """EC2 instance types, all of one processor architecture."""

    database: InstanceType = "r7g.large"
    proxy: InstanceType = "c7g.medium"
    monitor: InstanceType = "t4g.medium"
    drill: InstanceType = "m7g.large"


class DataVolume(Section):
    """A gp3 volume: its size, and what it does each second beyond gp3's own 3000 and 125.

    Source: https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
    """

    size: VolumeSize = ByteSize(20 * GIB)
    iops: Annotated[int, Field(ge=3000, le=16000)] = 3000
    throughput_mib: Annotated[int, Field(ge=125, le=1000)] = 125
    """MiB per second."""

    @property
    def size_gib(self) -> int:
        """Size in GiB."""
        return int(self.size) // GIB

    @model_validator(mode="after")
    def _in_proportion(self) -> DataVolume:
        if self.iops > max(3000, 500 * self.size_gib):
            raise ValueError(f"gp3 gives 500 iops a GiB, so at most {500 * self.size_gib} here")
        if self.throughput_mib * 4 > self.iops:
            raise ValueError(f"{self.throughput_mib} MiB/s need {4 * self.throughput_mib} iops")
        return self


class DataVolumes(Section):
    """The volumes that outlive machines, and how large the others' own disks are."""

    postgresql: DataVolume = DataVolume(size=ByteSize(100 * GIB))
    etcd: DataVolume = DataVolume(size=ByteSize(4 * GIB))
    """Its own: a slow disk under etcd makes the cluster lose its leader."""
    prometheus: DataVolume = DataVolume(size=ByteSize(20 * GIB))
    root: VolumeSize = ByteSize(20 * GIB)
    """Disk of the operating system; the drill machine's has room for a restored database too."""


class AwsPlace(Section):
    """The cluster on EC2, in a network of its own over three availability zones."""

    kind: Literal["aws"] = "aws"
    region: Region
    zones: Annotated[tuple[str, ...], Field(min_length=3, max_length=3)]
    """Three, so that the loss of one leaves a majority; such as eu-central-1a."""
    account: Annotated[str, Field(pattern=r"^\d{12}$")] | None = None
    """The only account that this stack may be brought up in."""
    network: Network = "10.60.0.0/16"
    clients: tuple[Network, ...] = ()
    """Networks that may connect to the front door, such as those of peered VPCs."""
    client_accounts: tuple[Annotated[str, Field(pattern=r"^\d{12}$")], ...] = ()
    """Accounts that may make a private endpoint to the front door in networks of their own."""
    domain: Annotated[str, Field(pattern=r"^([a-z0-9-]+\.)+[a-z]+$")] = "guestcomms.internal"
    """The front door is `db.<stack>.<domain>`, in a private zone of this network."""
    instance_types: InstanceTypes = InstanceTypes()
    volumes: DataVolumes = DataVolumes()
    image: Annotated[str, Field(pattern=r"^ami-[0-9a-f]{8,17}$")] | None = None
    """A machine image by id; without one the newest that was baked from this package list."""
    copy_region: Region | None = None
    """Where a second copy of the backups is kept; none without."""
    noncurrent_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """So long a deleted or overwritten version is kept beyond its object lock."""
    endpoints_in_every_zone: bool = True
    """Off: one zone's loss also cuts the others from AWS's services, for a third of the price."""
    deletion_protection: bool = True
    """What holds data, and the front door, can only be removed after this is off."""
    notify: tuple[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")], ...] = ()
    """Mail addresses for alarms; each must confirm once."""
    tags: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9+=._:@-]{1,120}$")], str]
    """Tags of every resource; `cost-center` and `owner` must be among them."""

    REQUIRED_TAGS: ClassVar[tuple[str, ...]] = ("cost-center", "owner")

    @model_validator(mode="after")
    def _zones_of_region(self) -> AwsPlace:
        wrong = [zone for zone in self.zones if not re.fullmatch(self.region + "[a-z]", zone)]
        if wrong or len(set(self.zones)) != len(self.zones):
            raise ValueError(
                f"zones must be three different ones of {self.region}, such as {self.region}a;"
                f" got {', '.join(self.zones)}"
            )
        return self

    @model_validator(mode="after")
    def _network_of_its_own(self) -> AwsPlace:
        own = ipaddress.ip_network(self.network)
        if not 16 <= own.prefixlen <= 20:
            raise ValueError(f"network must be between /16 and /20, got {self.network}")
        for client in self.clients:
            if own.overlaps(ipaddress.ip_network(client)):
                raise ValueError(f"clients {client} overlaps the cluster's own {self.network}")
        return self

    @model_validator(mode="after")
    def _copy_elsewhere(self) -> AwsPlace:
        if self.copy_region == self.region:
            raise ValueError(f"copy_region must be another region than {self.region}")
        return self

    @model_validator(mode="after")
    def _tagged(self) -> AwsPlace:
        if missing := [tag for tag in self.REQUIRED_TAGS if not self.tags.get(tag)]:
            raise ValueError(f"tags must name {' and '.join(missing)}: bills are read by them")
        return self


class AwsImagePlace(Section):
    """No cluster but the machine image for those of one region, and what bakes it."""

    kind: Literal["aws-image"] = "aws-image"
    region: Region
    account: Annotated[str, Field(pattern=r"^\d{12}$")] | None = None
    architecture: Literal["arm64", "x86_64"] = "arm64"
    instance_type: InstanceType = "c7g.large"
    """On which the image is baked."""
    tags: dict[str, str] = {}


def _kind(place: object) -> str:
    """By which class a place is read; without a kind it is this machine."""
    if isinstance(place, Section):
        return str(getattr(place, "kind", "local"))
    return str(place.get("kind", "local")) if isinstance(place, Mapping) else "local"


Place = Annotated[
    Annotated[LocalPlace, Tag("local")]
    | Annotated[AwsPlace, Tag("aws")]
    | Annotated[AwsImagePlace, Tag("aws-image")],
    Discriminator(_kind),
]
PLACES: Mapping[str, type[Section]] = {
    "local": LocalPlace, "aws": AwsPlace, "aws-image": AwsImagePlace,
}  # fmt: skip


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
    receivers: tuple[Receiver, ...] = ()
    """Who is told of alerts, besides the record on the monitor that `guestcomms alerts` shows."""
    place: Place = LocalPlace()

    @model_validator(mode="after")
    def _proxies_fit(self) -> ClusterSpec:
        if self.place.kind == "local" and self.machines.proxies != 1:
            raise ValueError(
                f"machines.proxies is {self.machines.proxies}, but ports on 127.0.0.1 lead to one;"
                " nothing here spreads over more"
            )
        return self

    @model_validator(mode="after")
    def _pools_fit(self) -> ClusterSpec:
        allowed = self.postgres.max_connections - RESERVED_CONNECTIONS
        if self.pool_size > allowed:
            raise ValueError(
                f"pooler.pool_size is {self.pool_size}, but postgres.max_connections"
                f" {self.postgres.max_connections} leaves {allowed} to the pooler;"
                " lower the pool or raise max_connections"
            )
        return self

    @model_validator(mode="after")
    def _receivers_are_distinct(self) -> ClusterSpec:
        names = [receiver.name for receiver in self.receivers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"receivers: {', '.join(twice)} stands there twice")
        return self

    @property
    def secret_receivers(self) -> tuple[str, ...]:
        """Names of the receivers for which `guestcomms:receiver_secrets` has to hold a secret."""
        return tuple(each.name for each in self.receivers if not isinstance(each, SnsReceiver))

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

    @property
    def pool_size(self) -> int:
        """Server connections of each login: two a core and one more, or what the spec says.

        More only queue inside PostgreSQL: docs/performance.md has what was measured.
        https://wiki.postgresql.org/wiki/Number_Of_Database_Connections
        """
        return self.pooler.pool_size or math.ceil(2 * self.machines.database.cores) + 1

    @property
    def proxy_names(self) -> tuple[str, ...]:
        """Names of the machines that HAProxy runs on."""
        return tuple(f"proxy-{n}" for n in range(1, self.machines.proxies + 1))

    @property
    def has_store(self) -> bool:
        """Whether a machine of the cluster keeps the backups, because the place has no S3."""
        return self.place.kind == "local"


RESERVED_CONNECTIONS = 30
"""Kept out of the pools: superuser, replication, agents, exporters, migrations, a person."""


def _explain(item: Any) -> str:
    """One pydantic error as `key: what is wrong, value got, what is allowed`."""
    loc = tuple(item["loc"])
    path = ".".join(_without_kind(loc))
    key = f"{CONFIG_NAMESPACE}:{path}" if path else CONFIG_NAMESPACE
    if item["type"] == "extra_forbidden":
        return f"{key}: no such setting; known here: {', '.join(_known(loc))}"
    if item["type"] == "union_tag_invalid":
        kinds = ", ".join(repr(kind) for kind in PLACES)
        return f"{key}.kind: got {item['ctx']['tag']!r}; allowed: {kinds}"
    if item["type"] == "missing":
        return f"{key}: missing; it has no default"
    allowed = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    got = item["input"]
    shown = "" if isinstance(got, (Section, dict)) else f"got {got!r}; "
    return f"{key}: {shown}allowed: {allowed}" if shown else f"{key}: {allowed}"


def _without_kind(loc: tuple[str | int, ...]) -> Iterator[str]:
    """The path as it is written: pydantic puts the kind of place between its key and the rest."""
    for position, part in enumerate(loc):
        if not (position == 1 and loc[0] == "place" and part in PLACES):
            yield str(part)


def _known(loc: tuple[str | int, ...]) -> list[str]:
    """The settings that exist beside the unknown one at `loc`."""
    model: type[BaseModel] = ClusterSpec
    for part in loc[:-1]:
        if model is ClusterSpec and part == "place":
            continue
        if part in PLACES:
            model = PLACES[str(part)]
            continue
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return sorted(name for name in model.model_fields if name != "stack")
