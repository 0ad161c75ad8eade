"""After one command: healthy, reachable, verified, and nothing to do a second time."""

from __future__ import annotations

import re

import psycopg
import pytest

from tests.ops.cluster.harness import Cluster


def test_status_is_healthy(cluster: Cluster) -> None:
    status = cluster.json("status")
    assert status["healthy"] is True


def test_a_second_up_changes_nothing(cluster: Cluster) -> None:
    said = cluster.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert re.search(r"Resources:\s+\d+ unchanged\s+Duration", said), said
    up = cluster.json("up", "--yes")
    assert up["applied"] == []
    assert cluster.query("SELECT count(*) FROM communication_backups", "--role", "ops") == [(1,)]


def test_the_three_ways_in(cluster: Cluster) -> None:
    where = "SELECT pg_is_in_recovery(), inet_server_port(), current_user::text"
    assert cluster.query(where) == [(False, None, "wedsync_app")]
    assert cluster.query(where, "--read-only") == [(True, None, "wedsync_app")]
    assert cluster.query(where, "--direct") == [(False, 5432, "wedsync_app")]


@pytest.mark.parametrize("port", ["read_write", "read_only", "direct"])
def test_nobody_enters_without_tls(cluster: Cluster, port: str) -> None:
    dsn = re.sub(r":\d+/", f":{cluster.ports[port]}/", cluster.dsn())
    with pytest.raises(psycopg.OperationalError, match=r"SSL|encryption"):
        psycopg.connect(dsn.replace("verify-full", "disable"))


def test_the_server_must_prove_itself(cluster: Cluster) -> None:
    stranger = cluster.dsn().replace("ca.crt", "nothing.crt")
    with pytest.raises(psycopg.OperationalError, match=r"root certificate file"):
        psycopg.connect(stranger)
    with pytest.raises(psycopg.OperationalError, match=r"certificate verify failed"):
        psycopg.connect(re.sub(r"sslrootcert=[^&]+", "sslrootcert=system", cluster.dsn()))


@pytest.mark.parametrize("port", ["read_write", "direct"])
@pytest.mark.parametrize(
    "login",
    ["postgres", "replicator", "rewind", "pgbouncer", "guestcomms_agent", "guestcomms_cron"],
)
def test_machine_roles_and_the_superuser_have_no_password_and_no_way_in(
    cluster: Cluster, login: str, port: str
) -> None:
    dsn = re.sub(r"//[^@]+@127.0.0.1:\d+/", f"//{login}:{login}@127.0.0.1:{cluster.ports[port]}/",
                 cluster.dsn())  # fmt: skip
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn)


def test_data_checksums_scram_and_synchronous_commit(cluster: Cluster) -> None:
    leader = cluster.leader
    psql = "runuser -u postgres -- psql -d wedsync -Atc"
    assert cluster.on(leader, f"{psql} 'SHOW data_checksums'").strip() == "on"
    assert cluster.on(leader, f"{psql} 'SHOW password_encryption'").strip() == "scram-sha-256"
    weak = "\"SELECT rolname FROM pg_authid WHERE rolpassword NOT LIKE 'SCRAM-SHA-256$%'\""
    assert cluster.on(leader, f"{psql} {weak}").strip() == ""
    states = {row["sync_state"] for row in cluster.health()["replication"]}
    assert states == {"quorum"}


def test_etcd_does_not_lead_where_postgresql_leads(cluster: Cluster) -> None:
    health = cluster.health()
    etcd_leaders = [name for name, member in health["etcd"].items() if member["leader"]]
    assert len(etcd_leaders) == 1
    assert etcd_leaders != [health["leader"]]


def test_the_monitor_sees_every_target_over_tls(cluster: Cluster) -> None:
    said = cluster.on(
        "monitor-1",
        "curl -s --fail --cacert /etc/guestcomms/tls/ca.crt 'https://monitor-1:9090/api/v1/query"
        '?query=up\' | python3 -c \'import json,sys; print(sorted({(r["metric"]["job"],'
        ' r["value"][1]) for r in json.load(sys.stdin)["data"]["result"]}))\'',
    )
    for job in ("patroni", "etcd", "haproxy", "alertmanager"):
        assert f"('{job}', '1')" in said
    assert "'0'" not in said


def test_a_wrong_configuration_value_stops_before_anything_is_touched(cluster: Cluster) -> None:
    machines = cluster.sections["machines"]
    cluster.configure(machines={**machines, "database_nodes": 4})
    try:
        failed = cluster.run("up", "--yes", ok=False)
    finally:
        cluster.configure(machines=machines)
    said = failed.stdout + failed.stderr
    assert failed.returncode != 0
    assert "guestcomms:machines.database_nodes: got 4; allowed: 3, 5 or 7" in said
    assert "Traceback" not in said
