"""What makes alerts fire: real causes on a running cluster, each with its undoing."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import psycopg

from infra.trust.certificates import KeyPair, make_certificate
from tests.ops.cluster.harness import Cluster

POSTGRES = "runuser -u postgres --"
PATRONICTL = f"{POSTGRES} patronictl -c /etc/patroni/conf.d"
PSQL = f"{POSTGRES} psql -d wedsync -qAtc"
POOL = 25
"""More clients than a pool has server connections."""


@dataclass(frozen=True)
class Cause:
    """Something that goes wrong while its context is entered, and the alerts it has to raise."""

    alerts: tuple[str, ...]
    words: str
    happens: Callable[[Cluster], AbstractContextManager[None]]


def standby(cluster: Cluster) -> str:
    """A database machine that does not lead."""
    leader = cluster.leader
    return next(name for name in cluster.database_machines if name != leader)


def others(cluster: Cluster) -> list[str]:
    """The database machines that do not lead."""
    leader = cluster.leader
    return [name for name in cluster.database_machines if name != leader]


@contextmanager
def stopped(cluster: Cluster, unit: str, *machines: str) -> Iterator[None]:
    """A unit does not run on some machines."""
    for machine in machines:
        cluster.on(machine, f"systemctl stop {unit}")
    try:
        yield
    finally:
        for machine in machines:
            cluster.on(
                machine, f"systemctl reset-failed {unit} 2>/dev/null; systemctl start {unit}"
            )


def exporter_stops(cluster: Cluster) -> AbstractContextManager[None]:
    return stopped(cluster, "prometheus-pgbouncer-exporter", standby(cluster))


def pooler_stops(cluster: Cluster) -> AbstractContextManager[None]:
    return stopped(cluster, "pgbouncer", standby(cluster))


def two_etcd_members_stop(cluster: Cluster) -> AbstractContextManager[None]:
    return stopped(cluster, "etcd", *others(cluster))


def both_standbys_stop(cluster: Cluster) -> AbstractContextManager[None]:
    return stopped(cluster, "patroni", *others(cluster))


def every_patroni_stops(cluster: Cluster) -> AbstractContextManager[None]:
    return stopped(cluster, "patroni", *cluster.database_machines)


def backup_figures_stop(cluster: Cluster) -> AbstractContextManager[None]:
    return stopped(cluster, "prometheus-pgbackrest-exporter", *cluster.database_machines)


@contextmanager
def standby_dies(cluster: Cluster) -> Iterator[None]:
    machine = cluster.container(standby(cluster))
    machine.kill()
    try:
        yield
    finally:
        machine.start()


@contextmanager
def proxy_sees_nobody(cluster: Cluster) -> Iterator[None]:
    cluster.on(
        "proxy-1",
        "nft add table inet cut;"
        " nft add chain inet cut out '{ type filter hook output priority 0; }';"
        " nft add rule inet cut out tcp dport 8008 drop",
    )
    try:
        yield
    finally:
        cluster.on("proxy-1", "nft delete table inet cut")


@contextmanager
def replay_is_paused(cluster: Cluster) -> Iterator[None]:
    machine, leader = standby(cluster), cluster.leader
    cluster.on(machine, f"{PSQL} 'SELECT pg_wal_replay_pause()'")
    cluster.on(leader, write_wal(40))
    try:
        yield
    finally:
        cluster.on(machine, f"{PSQL} 'SELECT pg_wal_replay_resume()'")


def write_wal(mebibytes: int) -> str:
    """A command that writes so much WAL and leaves nothing behind."""
    message = "pg_logical_emit_message(false, 'alerts', repeat(md5(n::text), 32768))"
    return f'{PSQL} "SELECT count({message}) FROM generate_series(1, {mebibytes}) AS n"'


@contextmanager
def standby_takes_no_wal(cluster: Cluster) -> Iterator[None]:
    leader = cluster.leader
    with stopped(cluster, "patroni", standby(cluster)):
        cluster.on(leader, write_wal(60))
        yield


@contextmanager
def transaction_stays_open(cluster: Cluster) -> Iterator[None]:
    with psycopg.connect(cluster.dsn("--role", "ops", "--direct")) as connection:
        connection.execute("SELECT 1")
        yield


@contextmanager
def transaction_ids_are_used_up(cluster: Cluster) -> Iterator[None]:
    leader = cluster.leader
    cluster.on(
        leader,
        f"{POSTGRES} psql -d wedsync -qAt -c 'SET synchronous_commit = off' -c 'DO $$ BEGIN"
        " FOR n IN 1..60000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$'",
    )
    try:
        yield
    finally:
        cluster.on(leader, f"{POSTGRES} vacuumdb --all --freeze --quiet")


@contextmanager
def pool_is_used_up(cluster: Cluster) -> Iterator[None]:
    dsn, done = cluster.dsn("--role", "ops"), threading.Event()

    def hold() -> None:
        with contextlib.suppress(psycopg.Error), psycopg.connect(dsn) as connection:
            connection.execute("SELECT 1")  # the transaction keeps the server connection
            done.wait(240)

    threads = [threading.Thread(target=hold) for _ in range(POOL)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


@contextmanager
def statements_fail(cluster: Cluster) -> Iterator[None]:
    done, dsn = threading.Event(), cluster.dsn("--role", "ops")

    def fail() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not done.wait(0.02):
                with contextlib.suppress(psycopg.Error):
                    connection.execute("SELECT 1 / 0")

    thread = threading.Thread(target=fail)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def archive_is_blocked(cluster: Cluster) -> Iterator[None]:
    leader = cluster.leader
    cluster.on(leader, f"{POSTGRES} pgbackrest --stanza=wedsync stop")
    cluster.on(
        leader, f"{PSQL} \"SELECT pg_logical_emit_message(true, 'alerts', ''), pg_switch_wal()\""
    )
    try:
        yield
    finally:
        cluster.on(leader, f"{POSTGRES} pgbackrest --stanza=wedsync start")


@contextmanager
def store_is_gone(cluster: Cluster) -> Iterator[None]:
    with stopped(cluster, "seaweedfs", "store-1"):
        look_again(cluster)
        yield
    look_again(cluster)


def look_again(cluster: Cluster) -> None:
    """Let the pgBackRest exporters look now, not in five minutes."""
    for machine in cluster.database_machines:
        cluster.on(machine, "systemctl restart --no-block prometheus-pgbackrest-exporter")


@contextmanager
def job_is_switched_off(cluster: Cluster) -> Iterator[None]:
    switch = "SELECT cron.alter_job(jobid, active := {}) FROM cron.job WHERE jobname = 'tend-queue'"
    cluster.on(cluster.leader, f'{PSQL} "{switch.format("false")}"')
    try:
        yield
    finally:
        cluster.on(cluster.leader, f'{PSQL} "{switch.format("true")}"')


@contextmanager
def leader_hands_over(cluster: Cluster) -> Iterator[None]:
    cluster.on(cluster.leader, "/opt/guestcomms/agent.pyz handover")
    yield


@contextmanager
def patroni_is_paused(cluster: Cluster) -> Iterator[None]:
    machine = standby(cluster)
    cluster.on(machine, f"{PATRONICTL} pause wedsync --wait")
    program = f"{POSTGRES} /usr/lib/postgresql/17/bin/pg_ctl -D /var/lib/postgresql/17/wedsync"
    cluster.on(machine, f"{program} stop -m fast")
    try:
        yield
    finally:
        cluster.on(machine, f"{PATRONICTL} resume wedsync --wait")


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
        time.sleep(45)
    yield


@contextmanager
def certificate_ends_soon(cluster: Cluster) -> Iterator[None]:
    state = json.loads(cluster.pulumi("stack", "export", "--show-secrets"))
    authority = next(
        each["outputs"] for each in state["deployment"]["resources"]
        if each["type"].endswith("trust:Authority")
    )  # fmt: skip
    pair = KeyPair(*(_plain(authority[key]) for key in ("certificate", "private_key")))
    address = cluster.on("drill-1", "hostname -i").split()[0]
    short = make_certificate(pair, "drill-1", ["drill-1"], [address], 5)
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


CAUSES = (
    Cause(("TargetDown",), "an exporter is stopped", exporter_stops),
    Cause(("PoolerDown",), "PgBouncer is stopped on a standby", pooler_stops),
    Cause(("OldestTransaction",), "a transaction stays open", transaction_stays_open),
    Cause(("PoolWaiting", "ActiveConnectionsHigh"), "25 clients hold transactions in a pool of 20",
          pool_is_used_up),
    Cause(("ErrorRateHigh",), "statements fail, 50 a second", statements_fail),
    Cause(("ReplicationLag",), "replay is paused on a standby, 40 MiB written", replay_is_paused),
    Cause(("SlotRetainsWal", "StandbyMissing"), "Patroni is stopped on a standby, 60 MiB written",
          standby_takes_no_wal),
    Cause(("MachineDown", "StandbyMissing", "EtcdMemberMissing"), "a standby's machine is killed",
          standby_dies),
    Cause(("NoSynchronousStandby", "ReadOnlyDoorClosed"), "Patroni is stopped on both standbys",
          both_standbys_stop),
    Cause(("EtcdQuorumLost",), "etcd is stopped on two machines", two_etcd_members_stop),
    Cause(("NoPrimary",), "Patroni is stopped everywhere", every_patroni_stops),
    Cause(("FrontDoorClosed",), "the proxy is cut off from Patroni", proxy_sees_nobody),
    Cause(("LeaderChanged",), "the leader hands over", leader_hands_over),
    Cause(("ArchivingFailing",), "pgBackRest is stopped on the leader", archive_is_blocked),
    Cause(("TransactionIdAge",), "60,000 transaction ids are used up", transaction_ids_are_used_up),
    Cause(("UnitFailed",), "a service is given a wrong option", service_fails),
    Cause(("MetricAbsent",), "every pgBackRest exporter is stopped", backup_figures_stop),
    Cause(("BackupStoreUnreadable",), "the store's S3 server is stopped", store_is_gone),
    Cause(("MonitorMisconfigured",), "Alertmanager gets a wrong setting", configuration_is_broken),
    Cause(("RuleFailing",), "a rule that cannot be evaluated is added", rule_is_broken),
    Cause(("NotificationsFailing",), "a receiver takes nothing for 45 s", messages_are_refused),
    Cause(("CertificateExpires",), "a machine gets a certificate of 5 days", certificate_ends_soon),
    Cause(("HealthCheckFailing",), "a job of the database is switched off", job_is_switched_off),
    Cause(("PostgresDown", "PatroniPaused"), "Patroni is paused, PostgreSQL stopped on a standby",
          patroni_is_paused),
)  # fmt: skip
