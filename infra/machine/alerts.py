"""Alert rules and who is told: the spec's thresholds and receivers, as Prometheus' own files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from infra.machine.model import File
from infra.machine.render import FILES, file, render_rules
from infra.spec import DATABASE, ClusterSpec, HeartbeatReceiver, SnsHeartbeatReceiver

RULES = "/etc/prometheus/rules"
RECORD_PORT = 9095
"""On the monitor's loopback: the agent writes down what people get."""
SECRETS = "/etc/guestcomms/receivers"
"""One file per receiver, delivered by the place; Alertmanager reads them at every message."""
DISKS = 'fstype!="tmpfs", mountpoint!~"/etc/.*|/run.*"'
DISK_USED = (
    f"100 * (1 - node_filesystem_avail_bytes{{{DISKS}}} / (node_filesystem_size_bytes"
    " - node_filesystem_free_bytes + node_filesystem_avail_bytes))"
)
"""Percent as `df` says: of what is used and what may be used, blocks kept for root left out."""
REQUIRED_METRICS = (
    "patroni_primary",
    "etcd_server_has_leader",
    "pg_up",
    "pg_stat_archiver_failed_count",
    "pgbouncer_up",
    "pgbackrest_backup_since_last_completion_seconds",
    "guestcomms_backup_check_value",
    "haproxy_backend_status",
    "node_filesystem_avail_bytes",
    "guestcomms_certificate_not_after_seconds",
    "guestcomms_measured_value",
    "guestcomms_health_result",
    "guestcomms_readiness_result",
)
"""Alerts on these say nothing when they are gone; for each of the others one of these stands."""
HEARTBEATS = (HeartbeatReceiver, SnsHeartbeatReceiver)
UNITS = {"s": 1, "m": 60, "h": 3600}


def rule_files(spec: ClusterSpec) -> tuple[File, ...]:
    """The rules of files/monitor/etc/prometheus/rules, by subject, with the spec's thresholds."""
    values: dict[str, object] = {
        "alerts": spec.alerts, "database": DATABASE, "required_metrics": _any_absent(),
        "database_nodes": spec.machines.database_nodes,
        "slot_wal_bytes": int(spec.postgres.max_slot_wal_keep_size),
        "store_used": _store_used(spec),
        "disk_used": DISK_USED, "disks": DISKS, "events": "guestcomms_measured_value",
    }  # fmt: skip
    names = sorted(path.name for path in (FILES / f"monitor{RULES}").glob("*.yml"))
    return tuple(
        File(f"{RULES}/{name}", _finish(render_rules(f"monitor{RULES}/{name}", values), spec))
        for name in names
    )


def _store_used(spec: ClusterSpec) -> str:
    """PromQL: percent of what the backup store may hold, of its disk and of the spec's limit."""
    disk = f'{DISK_USED} and on (machine) node_filesystem_avail_bytes{{machine=~"store-.*"}}'
    if spec.backup.store_limit_gib is None:
        return disk
    stored = 'guestcomms_backup_check_value{kind="wal_audit", figure="repository_bytes"}'
    return f"{disk} or 100 * {stored} / {spec.backup.store_limit_gib * 2**30}"


def _any_absent() -> str:
    """PromQL that tells which of the required metrics nobody has."""
    return " or ".join(
        f'label_replace(absent({metric}), "metric", "{metric}", "", "")'
        for metric in REQUIRED_METRICS
    )


def _finish(text: str, spec: ClusterSpec) -> str:
    """Add each alert's runbook and apply the spec's patience: what is the same for all of them."""
    document: dict[str, Any] = yaml.safe_load(text)
    for group in document["groups"]:
        for rule in group["rules"]:
            rule["annotations"]["runbook_url"] = f"{spec.alerts.runbooks}/{rule['alert']}.md"
            if "for" in rule:
                rule["for"] = _patient(rule["for"], spec.alerts.patience)
    return yaml.safe_dump(document, sort_keys=False, width=1000)


def _patient(duration: str, patience: float) -> str:
    milliseconds = round(int(duration[:-1]) * UNITS[duration[-1]] * patience * 1000)
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


def alertmanager(spec: ClusterSpec) -> File:
    """Alertmanager's configuration: routes by severity, receivers, what hides what.

    Source: https://prometheus.io/docs/alerting/0.28/configuration/
    """
    values: dict[str, object] = {
        "alerts": spec.alerts, "secrets": SECRETS, "record_port": RECORD_PORT,
        "heartbeats": [each for each in spec.receivers if isinstance(each, HEARTBEATS)],
        "people": [each for each in spec.receivers if not isinstance(each, HEARTBEATS)],
    }  # fmt: skip
    return file("monitor", "/etc/prometheus/alertmanager.yml", values)


def secret_file(spec: ClusterSpec, secrets: Mapping[str, Any]) -> str:
    """receivers.json, which the place delivers to the monitor: receiver name → secret.

    Parameters: `secrets`, the stack's `guestcomms:receiver_secrets` in clear.
    Raises `ValueError`, which names receivers without a secret and secrets without a receiver.
    """
    wanted = set(spec.secret_receivers)
    if missing := sorted(wanted - set(secrets)):
        raise ValueError(
            f"receivers without a secret: {', '.join(missing)}; run `pulumi config set --secret"
            f" --path guestcomms:receiver_secrets.{missing[0]} …`"
        )
    if unknown := sorted(set(secrets) - wanted):
        raise ValueError(f"guestcomms:receiver_secrets: no receiver is named {', '.join(unknown)}")
    return json.dumps({name: str(secrets[name]) for name in sorted(wanted)})
