"""Faults: nothing that was acknowledged is lost, and the cluster is whole again by itself."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from tests.ops.alerts.causes.common import superuser
from tests.ops.cluster import writer
from tests.ops.cluster.harness import Cluster
from tests.restores.archive import segments
from tests.waiting import wait_until

WRITERS = 8
SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""How a client of PostgreSQL begins."""
HEADROOM = 40
"""Seconds of silence after which a fault has not been survived: ttl 20 and its takeover."""


@pytest.fixture
def dsn(cluster: Cluster) -> Iterator[str]:
    """The application's way in, with a table to write to."""
    owner = cluster.dsn("--role", "migrator", "--direct")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(writer.CREATE)
    yield cluster.dsn("--role", "app")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(writer.DROP)


def test_the_leader_machine_is_killed_under_writes(cluster: Cluster, dsn: str) -> None:
    leader = cluster.leader
    with writer.Writers(dsn, WRITERS) as writers:
        writers.wait_for(300, 30)
        cluster.container(leader).kill()
        writers.wait_for(300, HEADROOM)
        cluster.container(leader).start()
        healed = cluster.wait_healthy()
        writers.wait_for(100, 30)
    record = writers.record
    assert cluster.leader != leader
    assert writer.lost(cluster.dsn("--role", "app"), record) == set()
    assert len(record.acked) / record.seconds > 10
    print(  # noqa: T201
        f"\nleader killed: {len(record.acked)} acknowledged, 0 lost, write gap"
        f" {record.longest_gap:.1f} s, whole again {healed:.1f} s after its return"
    )


def test_what_a_dead_leader_had_not_archived_is_archived_by_the_next(cluster: Cluster) -> None:
    """A standby takes what it streams for archived; the dead one may never come back."""
    leader, store = cluster.leader, cluster.container("store-1")
    assert gaps(cluster) == 0
    store.kill()
    try:
        write = "SELECT pg_logical_emit_message(true, 'owed', ''), pg_walfile_name(pg_switch_wal())"
        owed = [superuser(cluster, leader, write).split("|")[1] for _ in range(2)]
        cluster.container(leader).kill()
        wait_until(lambda: cluster.health()["leader"] not in (None, leader), 90, poll_seconds=0.5)
    finally:
        store.start()
    try:
        wait_until(lambda: set(owed) <= segments(cluster, cluster.leader), 180, poll_seconds=2)
    finally:
        cluster.container(leader).start()
    cluster.wait_healthy(300)
    assert gaps(cluster) == 0


def gaps(cluster: Cluster) -> int:
    """Holes in the archive since the newest backup."""
    evidence = cluster.json("backup", "audit-wal", ok=False)["evidence"]
    return int(evidence["figures"]["gaps_since_backup"])


def test_nobody_hangs_who_connects_while_the_leader_dies(cluster: Cluster) -> None:
    """Before the proxy knows, they go to a machine that is gone; they are told, like older ones."""
    leader = cluster.leader
    with ExitStack() as stack:

        def connects() -> socket.socket:
            way_in = ("127.0.0.1", cluster.ports["read_write"])
            client = stack.enter_context(socket.create_connection(way_in, timeout=5))
            client.sendall(SSL_REQUEST)
            return client

        clients = [connects() for _ in range(20)]
        assert {client.recv(1) for client in clients} == {b"S"}
        cluster.container(leader).kill()
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            clients.append(connects())
            time.sleep(0.05)
        for client in clients:
            client.setblocking(False)
        wait_until(lambda: all(ended(client) for client in clients), HEADROOM)
    cluster.container(leader).start()
    cluster.wait_healthy()


def ended(client: socket.socket) -> bool:
    """Whether the other side has closed a connection."""
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_the_check_for_lost_writes_can_fail(cluster: Cluster, dsn: str) -> None:
    with writer.Writers(dsn, 1) as writers:
        writers.wait_for(20, 30)
    owner = cluster.dsn("--role", "migrator", "--direct")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("SET ROLE comms_owner")
        connection.execute("DELETE FROM public.write_ledger WHERE number = 7")
    assert writer.lost(dsn, writers.record) == {(1, 7)}


def test_a_container_deleted_by_hand_comes_back_alone(cluster: Cluster) -> None:
    leader = cluster.leader
    standby = next(name for name in cluster.database_machines if name != leader)
    ids = {name: cluster.container(name).id for name in cluster.database_machines}
    cluster.container(standby).remove(force=True)
    said = cluster.pulumi("refresh", "--yes", "--skip-preview")
    assert "1 deleted" in said
    said = cluster.pulumi("up", "--yes", "--skip-preview")
    assert "1 created" in said
    for word in ("replaced", "deleted", "updated"):
        assert word not in said.partition("Resources:")[2], said
    now = {name: cluster.container(name).id for name in cluster.database_machines}
    assert {name for name in ids if ids[name] != now[name]} == {standby}
    assert cluster.leader == leader


def test_an_etcd_member_that_lost_its_disk_rejoins(cluster: Cluster) -> None:
    health = cluster.health()
    member = next(name for name in cluster.database_machines if name != health["leader"])
    cluster.on(member, "systemctl stop etcd && rm -rf /var/lib/etcd/* && systemctl start etcd")
    wait_until(lambda: cluster.health()["etcd"][member]["healthy"], 60)
    assert cluster.leader == health["leader"]


def test_settings_change_without_new_machines_and_drift_is_put_back(cluster: Cluster) -> None:
    ids = {name: cluster.container(name).id for name in cluster.database_machines}
    cluster.configure(postgres={"max_connections": 410, "parameters": {"work_mem": "5MB"}})
    cluster.pulumi("up", "--yes", "--skip-preview")
    show = 'runuser -u postgres -- psql -d wedsync -Atc "SHOW work_mem" -c "SHOW max_connections"'
    for name in cluster.database_machines:
        assert cluster.on(name, show).split() == ["5MB", "410"], name
    assert {name: cluster.container(name).id for name in cluster.database_machines} == ids

    patch = "patronictl -c /etc/patroni/conf.d edit-config wedsync --force -p work_mem=6MB"
    cluster.on("pg-1", f"runuser -u postgres -- {patch}")
    wait_until(lambda: cluster.on("pg-1", show).split()[0] == "6MB", 30)
    assert "1 updated" in cluster.pulumi("refresh", "--yes", "--skip-preview")
    cluster.pulumi("up", "--yes", "--skip-preview")
    wait_until(lambda: cluster.on("pg-1", show).split()[0] == "5MB", 30)


def test_a_roll_replaces_every_machine_and_loses_nothing(cluster: Cluster, dsn: str) -> None:
    before = {name: cluster.container(name).id for name in cluster.database_machines}
    with writer.Writers(dsn, WRITERS) as writers:
        writers.wait_for(100, 30)
        cluster.configure(pooler={"max_clients": 4000})
        said = cluster.pulumi("up", "--yes", "--skip-preview")
        writers.wait_for(100, HEADROOM)
    assert f"{len(before)} replaced" in said
    assert said.count("leads the cluster: handing over") <= 4  # two handovers, each told twice
    for name, container in before.items():
        assert cluster.container(name).id != container, name
        assert "max_client_conn = 4000" in cluster.on(name, "cat /etc/pgbouncer/pgbouncer.ini")
    assert writer.lost(cluster.dsn("--role", "app"), writers.record) == set()
    print(  # noqa: T201
        f"\nroll: {len(writers.record.acked)} acknowledged, 0 lost, longest write gap"
        f" {writers.record.longest_gap:.1f} s"
    )


def test_all_machines_at_once(cluster: Cluster, dsn: str) -> None:
    with writer.Writers(dsn, WRITERS) as writers:
        writers.wait_for(100, 30)
        containers = [cluster.container(name) for name in cluster.database_machines]
        for container in containers:
            container.kill()
        time.sleep(1)
        for container in containers:
            container.start()
        writers.wait_for(100, 120)
    assert writer.lost(cluster.dsn("--role", "app"), writers.record) == set()
