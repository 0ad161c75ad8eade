"""The programs of a cluster, one function each: spec in, files and units out."""

from __future__ import annotations

from infra.machine import alerts, consoles
from infra.machine.model import Component, Directory, File, PublishedPort, Volume
from infra.machine.postgres import DATA_DIRECTORY, SPOOL_DIRECTORY
from infra.machine.render import FILES, file
from infra.spec import DATABASE, PATRONI_NAMESPACE, SCOPE, STANZA, ClusterSpec

TLS = "/etc/guestcomms/tls"
BUCKET = "wedsync-backups"
MACHINE_TLS = ("ca.crt", "machine.crt", "machine.key")
CONNECT_S = 3
RETRIES = 1
"""How long, and how often again, a proxy tries to connect to a database machine."""


def _after_prepare(*units: str) -> tuple[File, ...]:
    """Drop-ins that hold units back until secrets, addresses and directories are in place."""
    return tuple(
        File(
            f"/etc/systemd/system/{unit}.d/10-after-prepare.conf",
            (FILES / "agent/etc/systemd/system/after-prepare.conf").read_text(encoding="utf-8"),
        )
        for unit in units
    )


def etcd(name: str) -> Component:
    """A member of the consensus store that holds the leader's lease."""
    values: dict[str, object] = {"name": name, "scope": SCOPE, "tls": TLS}
    return Component(
        files=(
            file("etcd", "/etc/default/etcd", values),
            file("etcd", "/usr/local/sbin/etcd-rejoin", {}, "0755"),
            file("etcd", "/etc/systemd/system/etcd.service.d/20-guestcomms.conf"),
            *_after_prepare("etcd.service"),
        ),
        units=("etcd.service",),
        directories=(Directory("/var/lib/etcd", "etcd", "etcd", "0700"),),
        volumes=(Volume("etcd", "/var/lib/etcd"),),
    )  # fmt: skip


def patroni(name: str) -> Component:
    """Patroni and the PostgreSQL it runs."""
    values: dict[str, object] = {
        "name": name, "scope": SCOPE, "namespace": PATRONI_NAMESPACE, "stanza": STANZA, "tls": TLS,
        "database": DATABASE, "data_directory": DATA_DIRECTORY,
    }  # fmt: skip
    return Component(
        files=(
            file("patroni", "/etc/patroni/conf.d/10-patroni.yml", values),
            file("patroni", "/etc/systemd/system/patroni.service.d/20-guestcomms.conf"),
            *_after_prepare("patroni.service"),
        ),
        units=("patroni.service",),
        directories=(
            Directory("/var/lib/postgresql", "postgres", "postgres"),
            Directory("/var/lib/postgresql/17", "postgres", "postgres"),
        ),
        volumes=(Volume("postgresql", "/var/lib/postgresql"),),
    )


def pgbouncer(spec: ClusterSpec, name: str) -> Component:
    """The pooler in front of this machine's PostgreSQL."""
    values: dict[str, object] = {
        "name": name,
        "pooler": spec.pooler,
        "pool_size": spec.pool_size,
        "database": DATABASE,
        "tls": TLS,
    }
    owner = "postgres:postgres"
    return Component(
        files=(
            file("pgbouncer", "/etc/pgbouncer/pgbouncer.ini", values, "0640", owner),
            file("pgbouncer", "/etc/pgbouncer/pools.ini", values, "0640", owner),
            file("pgbouncer", "/etc/systemd/system/pgbouncer.service.d/20-guestcomms.conf"),
            *_after_prepare("pgbouncer.service"),
        ),
        units=("pgbouncer.service",),
        # The agent replaces pools.ini by rename, as postgres.
        directories=(Directory("/etc/pgbouncer", "postgres", "postgres"),),
    )


def pgbackrest(spec: ClusterSpec, name: str, data_directory: str = DATA_DIRECTORY) -> Component:
    """Backups and the WAL archive, to S3 only."""
    values: dict[str, object] = {
        "name": name, "stanza": STANZA, "backup": spec.backup, "data_directory": data_directory,
        "spool_directory": SPOOL_DIRECTORY,
    }  # fmt: skip
    return Component(
        files=(file("pgbackrest", "/etc/pgbackrest/pgbackrest.conf", values),),
        directories=(
            Directory(SPOOL_DIRECTORY, "postgres", "postgres", "0750"),
            Directory("/var/log/pgbackrest", "postgres", "postgres", "0750"),
        ),
        secrets=("repository.json", "key_encryption_key"),
    )  # fmt: skip


def bootstrap_sql(spec: ClusterSpec) -> str:
    """The superuser bootstrap: every file under files/bootstrap in order, `${…}` filled in."""
    values = {
        "backup_full_schedule": spec.backup.full_schedule,
        "backup_incremental_schedule": spec.backup.incremental_schedule,
        "backup_wal_audit_schedule": spec.backup.wal_audit_schedule,
        "backup_verify_schedule": spec.backup.verify_schedule,
        "restore_drill_schedule": spec.backup.drill_schedule,
        "pool_size": spec.pool_size,
        "query_wait_timeout_ms": spec.pooler.query_wait_timeout_seconds * 1000,
    }
    parts = sorted((FILES / "bootstrap").glob("*.sql"))
    sql = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    # Not Jinja and not string.Template: SQL is full of $ and braces of its own.
    for name, value in values.items():
        sql = sql.replace(f"${{{name}}}", str(value))
    return sql


def agent(spec: ClusterSpec) -> Component:
    """The node agent of a database machine, and what it applies as superuser."""
    units = ("guestcomms-bootstrap.service", "guestcomms-agent.service")
    return Component(
        files=(
            *(file("agent", f"/etc/systemd/system/{unit}") for unit in units),
            *_after_prepare(*units),
            File("/etc/guestcomms/bootstrap.sql", bootstrap_sql(spec), "0644"),
        ),
        units=units,
        secrets=("logins.json",),
    )


def drill() -> Component:
    """The node agent of the machine that proves restores."""
    unit = "guestcomms-agent.service"
    return Component(
        files=(file("agent", f"/etc/systemd/system/{unit}"), *_after_prepare(unit)),
        units=(unit,),
    )


def proxy(spec: ClusterSpec) -> Component:
    """HAProxy: one address for whoever leads, one for the standbys."""
    times = spec.recovery.times
    listeners = (
        {"name": "leader_pooler", "port": 6432, "check": "/primary"},
        {"name": "standby_pooler", "port": 6432, "check": "/replica"},
        {"name": "leader_direct", "port": 5432, "check": "/primary"},
    )
    values: dict[str, object] = {
        "tls": TLS, "listeners": listeners,
        "fall": times.check_fall, "interval_ms": int(times.check_interval * 1000),
        "connect_s": CONNECT_S, "retries": RETRIES,
        # HAProxy waits a second before it tries a server again.
        "connecting_s": (CONNECT_S + 1) * (RETRIES + 1),
    }  # fmt: skip
    return Component(
        files=(
            file("proxy", "/etc/haproxy/haproxy.cfg", values),
            file("proxy", "/etc/haproxy/end-sessions.lua", values),
            file("proxy", "/etc/systemd/system/haproxy.service.d/20-guestcomms.conf"),
            *_after_prepare("haproxy.service"),
        ),
        units=("haproxy.service",),
        ports=(
            PublishedPort("read_write", 5432),
            PublishedPort("read_only", 5433),
            PublishedPort("direct", 5434),
            PublishedPort("statistics", 8404),
        ),
        listens=(5432, 5433, 5434, 8404),
    )  # fmt: skip


def store(spec: ClusterSpec) -> Component:
    """SeaweedFS's S3 with the backup bucket: only where the place has no S3 of its own."""
    own = ("seaweedfs.service", "guestcomms-bucket.service")
    units = (*own, "haproxy.service")
    values = {"bucket": BUCKET, "object_lock_days": spec.backup.object_lock_days}
    return Component(
        files=(
            *(file("store", f"/etc/systemd/system/{unit}") for unit in own),
            file("store", "/etc/haproxy/haproxy.cfg"),
            file("store", "/usr/local/sbin/guestcomms-bucket", values, "0755"),
            *_after_prepare(*units),
        ),
        units=units,
        directories=(Directory("/var/lib/seaweedfs", "root", "root", "0700"),),
        volumes=(Volume("seaweedfs", "/var/lib/seaweedfs"),),
        secrets=("s3.json",),
        listens=(8333,),
    )  # fmt: skip


def exporters(*kinds: str) -> Component:
    """Prometheus exporters, over TLS and only to who shows a certificate of the stack.

    Parameters: `kinds`, of node, postgres, pgbouncer and pgbackrest.
    """
    names = [f"prometheus-{kind}-exporter" for kind in kinds]
    units = tuple(f"{name}.service" for name in names)
    system = "/etc/systemd/system"
    extras = {
        "postgres": (
            file(
                "exporters", f"{system}/prometheus-postgres-exporter.service.d/20-guestcomms.conf"
            ),
            file("exporters", "/etc/guestcomms/exporter-queries.yml"),
        ),
        "pgbouncer": (file("exporters", f"{system}/prometheus-pgbouncer-exporter.service"),),
    }
    return Component(
        files=(
            file("exporters", "/etc/guestcomms/exporter-web.yml", {"tls": TLS}),
            *(file("exporters", f"/etc/default/{name}", {"database": DATABASE}) for name in names),
            *(extra for kind in kinds for extra in extras.get(kind, ())),
            *_after_prepare(*units),
        ),
        units=units,
        directories=(Directory("/var/lib/guestcomms/metrics", "root", "root"),),
    )


EXPORTER_PORTS = {"node": 9100, "postgres": 9187, "pgbouncer": 9127, "pgbackrest": 9854}
DATABASE_EXPORTERS = ("node", "postgres", "pgbouncer", "pgbackrest")


def _scrape_jobs(spec: ClusterSpec) -> list[dict[str, object]]:
    """What Prometheus asks, by job."""
    stores = ("store-1",) if spec.has_store else ()
    others = (*stores, *spec.proxy_names, "monitor-1", "drill-1")
    targets = {
        "patroni": [f"{name}:8008" for name in spec.database_names],
        "etcd": [f"{name}:2379" for name in spec.database_names],
        "haproxy": [f"{name}:8404" for name in spec.proxy_names],
        "prometheus": ["monitor-1:9090"],
        "alertmanager": ["monitor-1:9093"],
    }
    for kind in DATABASE_EXPORTERS:
        names = (*spec.database_names, *others) if kind == "node" else spec.database_names
        targets[kind] = [f"{name}:{EXPORTER_PORTS[kind]}" for name in names]
    return [{"name": name, "targets": found} for name, found in targets.items()]


def monitor(spec: ClusterSpec) -> Component:
    """Prometheus, Alertmanager, and the record of what it said."""
    record = "guestcomms-alerts.service"
    units = ("prometheus.service", "prometheus-alertmanager.service", record)
    return Component(
        files=(
            *alerts.rule_files(spec),
            file("monitor", "/etc/prometheus/web.yml", {"tls": TLS}),
            file(
                "monitor",
                "/etc/default/prometheus",
                {"templates": consoles.TEMPLATES, "libraries": consoles.LIBRARIES},
            ),
            file("monitor", "/etc/default/prometheus-alertmanager"),
            file("monitor", f"/etc/systemd/system/{record}", {"port": alerts.RECORD_PORT}),
            *_after_prepare(*units),
        ),
        # Who is watched and who is told differs between places, and is no reason for a new machine.
        delivered=(
            file(
                "monitor",
                "/etc/prometheus/prometheus.yml",
                {"tls": TLS, "jobs": _scrape_jobs(spec)},
            ),
            alerts.alertmanager(spec),
            *consoles.files(spec),
        ),
        units=units,
        directories=(
            Directory(consoles.TEMPLATES, "root", "root"),
            Directory(consoles.LIBRARIES, "root", "root"),
            Directory("/var/lib/prometheus", "prometheus", "prometheus"),
            Directory("/var/lib/prometheus/metrics2", "prometheus", "prometheus"),
            Directory("/var/lib/prometheus/alertmanager", "prometheus", "prometheus"),
            Directory("/var/lib/prometheus/alerts", "prometheus", "prometheus"),
            Directory(alerts.SECRETS, "root", "prometheus", "0750"),
        ),
        volumes=(Volume("prometheus", "/var/lib/prometheus"),),
        ports=(PublishedPort("prometheus", 9090), PublishedPort("alertmanager", 9093)),
        secrets=("receivers.json",),
        listens=(9090, 9093, alerts.RECORD_PORT),
    )
