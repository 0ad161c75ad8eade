"""When people are told of trouble, and by what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from infra.spec.fields import Above0, Percent, Section

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
