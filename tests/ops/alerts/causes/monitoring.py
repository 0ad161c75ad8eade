"""Causes of the alerts of rules/monitoring.yml."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from infra.trust.certificates import KeyPair, make_certificate
from tests.ops.alerts.causes.common import Cause, pause, standby, stopped
from tests.ops.cluster import clock
from tests.ops.cluster.harness import Cluster


def exporter_stops(cluster: Cluster) -> AbstractContextManager[None]:
    return stopped(cluster, "prometheus-pgbouncer-exporter", standby(cluster))


def backup_figures_stop(cluster: Cluster) -> AbstractContextManager[None]:
    return stopped(cluster, "prometheus-pgbackrest-exporter", *cluster.database_machines)


@contextmanager
def service_fails(cluster: Cluster) -> Iterator[None]:
    machine, unit = standby(cluster), "prometheus-pgbouncer-exporter"
    cluster.on(
        machine, f"cp /etc/default/{unit} /tmp/kept; echo ARGS=--wrong > /etc/default/{unit}"
    )
    cluster.on(machine, f"systemctl restart {unit}; true")
    try:
        yield
    finally:
        cluster.on(
            machine,
            f"cp /tmp/kept /etc/default/{unit};"
            f" systemctl reset-failed {unit}; systemctl start {unit}",
        )


@contextmanager
def configuration_is_broken(cluster: Cluster) -> Iterator[None]:
    file = "/etc/prometheus/alertmanager.yml"
    cluster.on("monitor-1", f"cp {file} /tmp/kept; echo nonsense: 1 >> {file}")
    cluster.on("monitor-1", "systemctl reload prometheus-alertmanager; true")
    try:
        yield
    finally:
        cluster.on("monitor-1", f"cp /tmp/kept {file}; systemctl reload prometheus-alertmanager")


@contextmanager
def rule_is_broken(cluster: Cluster) -> Iterator[None]:
    file = "/etc/prometheus/rules/broken.yml"
    rule = "groups: [{name: broken, rules: [{record: broken, expr: up + on(job) up}]}]"
    cluster.on("monitor-1", f"echo '{rule}' > {file}; systemctl reload prometheus")
    try:
        yield
    finally:
        cluster.on("monitor-1", f"rm {file}; systemctl reload prometheus")


@contextmanager
def messages_are_refused(cluster: Cluster) -> Iterator[None]:
    """The record takes nothing for a while: Alertmanager tries again, and then tells that too."""
    with stopped(cluster, "guestcomms-alerts", "monitor-1"), exporter_stops(cluster):
        pause(45)
    yield


@contextmanager
def _certificate_ends(cluster: Cluster, days: int) -> Iterator[None]:
    state = json.loads(cluster.pulumi("stack", "export", "--show-secrets"))
    authority = next(
        each["outputs"] for each in state["deployment"]["resources"]
        if each["type"].endswith("trust:Authority")
    )  # fmt: skip
    pair = KeyPair(*(_plain(authority[key]) for key in ("certificate", "private_key")))
    address = cluster.on("drill-1", "hostname -i").split()[0]
    short = make_certificate(pair, "drill-1", ["drill-1"], [address], days)
    folder = "/etc/guestcomms/secrets"
    cluster.on("drill-1", f"cp {folder}/machine.* /root/")
    for name, text in (("crt", short.certificate), ("key", short.private_key)):
        cluster.on("drill-1", f"cat > {folder}/machine.{name} <<'END'\n{text}END")
    cluster.on("drill-1", "/opt/guestcomms/agent.pyz prepare")
    try:
        yield
    finally:
        cluster.on("drill-1", f"cp /root/machine.* {folder}/; /opt/guestcomms/agent.pyz prepare")


def _plain(value: object) -> str:
    return str(json.loads(value["plaintext"])) if isinstance(value, dict) else str(value)


@contextmanager
def clock_is_wrong(cluster: Cluster) -> Iterator[None]:
    machine = standby(cluster)
    clock.fake(cluster, machine)
    cluster.wait_healthy()
    clock.turn(cluster, machine, 3600)
    try:
        yield
    finally:
        clock.give_back(cluster, machine)


CAUSES = (
    Cause(("TargetDown",), "an exporter is stopped", exporter_stops),
    Cause(("UnitFailed",), "a service is given a wrong option", service_fails),
    Cause(("MetricAbsent",), "every pgBackRest exporter is stopped", backup_figures_stop),
    Cause(("MonitorMisconfigured",), "Alertmanager gets a wrong setting", configuration_is_broken),
    Cause(("RuleFailing",), "a rule that cannot be evaluated is added", rule_is_broken),
    Cause(("NotificationsFailing",), "a receiver takes nothing for 45 s", messages_are_refused),
    Cause(("CertificateExpiresSoon",), "a machine gets a certificate of 15 days",
          lambda cluster: _certificate_ends(cluster, 15)),
    Cause(("CertificateExpires",), "a machine gets a certificate of 5 days",
          lambda cluster: _certificate_ends(cluster, 5)),
    Cause(("ClockSkew",), "PostgreSQL's clock on a standby is an hour ahead", clock_is_wrong),
)  # fmt: skip
