"""After one command: healthy, reachable, verified, and nothing to do a second time."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode

import psycopg
import pytest

from tests.ops.cluster.harness import Cluster
from tests.waiting import wait_until


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


@pytest.mark.parametrize("guess", ["", "pgbouncer", "postgres"])
def test_the_poolers_own_user_has_no_password_to_guess(cluster: Cluster, guess: str) -> None:
    """libpq never sends an empty password, but another client may: look at the verifier itself."""
    for machine in cluster.database_machines:
        line = cluster.on(machine, "cat /etc/pgbouncer/userlist.txt").strip()
        match = re.fullmatch(
            r'"pgbouncer" "SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):([^"]+)"', line.splitlines()[-1]
        )
        assert match, line
        rounds, salt, stored, _server = match.groups()
        salted = hashlib.pbkdf2_hmac("sha256", guess.encode(), b64decode(salt), int(rounds))
        key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
        assert key != b64decode(stored)


def test_the_store_has_one_door(cluster: Cluster) -> None:
    """SeaweedFS's own ports ask nobody who they are: none of them is on the network."""
    probe = (
        "for port in $(seq 8080 8090) 8333 8334 8888 9333 18080 18333 18334 18888 19333; do"
        " (exec 3<>/dev/tcp/store-1/$port) 2>/dev/null && echo $port; done; true"
    )
    assert cluster.on("drill-1", probe).split() == ["8333"]


@pytest.mark.parametrize("machine", ["drill-1", "monitor-1", "proxy-1", "store-1"])
def test_only_database_machines_may_change_patroni(cluster: Cluster, machine: str) -> None:
    patch = (
        "curl -s -o /dev/null -w '%{http_code}' --cacert /etc/guestcomms/tls/ca.crt"
        " --cert /etc/guestcomms/tls/machine.crt --key /etc/guestcomms/tls/machine.key"
        " -X PATCH -d '{\"ttl\": 20}' https://pg-1:8008/config"
    )
    assert cluster.on(machine, patch) == "403"
    assert cluster.on("pg-2", patch) == "200"


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
    exporters = ("node", "postgres", "pgbouncer", "pgbackrest")
    for job in ("patroni", "etcd", "haproxy", "alertmanager", *exporters):
        assert f"('{job}', '1')" in said
    assert "'0'" not in said


@pytest.mark.parametrize("port", [9100, 9187, 9127, 9854])
def test_figures_are_only_for_who_shows_a_certificate(cluster: Cluster, port: int) -> None:
    ask = f"curl -s --cacert /etc/guestcomms/tls/ca.crt https://pg-1:{port}/metrics"
    assert "alert certificate required" in cluster.on("pg-1", f"{ask} -S 2>&1 || true")
    shown = f"{ask} --cert /etc/guestcomms/tls/machine.crt --key /etc/guestcomms/tls/machine.key"
    # An exporter may just be starting anew, with what it tells of.
    wait_until(lambda: "# HELP" in cluster.on("pg-1", f"{shown} | head -1"), 60)


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
