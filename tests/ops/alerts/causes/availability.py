"""Causes of the alerts of rules/availability.yml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.ops.alerts.causes.common import (
    PATRONICTL,
    POSTGRES,
    Cause,
    others,
    pause,
    rebuild,
    standby,
    stopped,
    superuser,
    until,
)
from tests.ops.cluster.harness import Cluster

PG_CTL = f"{POSTGRES} /usr/lib/postgresql/17/bin/pg_ctl -D /var/lib/postgresql/17/wedsync"
ETCDCTL = (
    "ETCDCTL_API=3 etcdctl --endpoints=https://$(hostname):2379"
    " --cacert=/etc/guestcomms/secrets/ca.crt"
    " --cert=/etc/guestcomms/secrets/machine.crt --key=/etc/guestcomms/secrets/machine.key"
)
ETCD_MIB = 40


def two_etcd_members_stop(cluster: Cluster) -> AbstractContextManager[None]:
    return stopped(cluster, "etcd", *others(cluster))


@contextmanager
def etcd_member_is_cut_off(cluster: Cluster) -> Iterator[None]:
    machine = standby(cluster)
    rules = "".join(
        f" nft add chain inet cut {hook} '{{ type filter hook {hook} priority 0; }}';"
        f" nft add rule inet cut {hook} tcp {port} 2380 drop;"
        for hook in ("input", "output")
        for port in ("dport", "sport")
    )
    cluster.on(machine, f"nft add table inet cut;{rules}")
    try:
        yield
    finally:
        cluster.on(machine, "nft delete table inet cut")


@contextmanager
def etcd_is_filled(cluster: Cluster) -> Iterator[None]:
    machine = standby(cluster)
    cluster.on(
        machine,
        "head -c 1000000 /dev/urandom | base64 -w0 | head -c 1000000 > /tmp/value;"
        f" for n in $(seq {ETCD_MIB}); do {ETCDCTL} put /alerts/$n < /tmp/value; done",
    )
    try:
        yield
    finally:
        cluster.on(
            machine,
            f"rm /tmp/value; {ETCDCTL} del --prefix /alerts/ && {ETCDCTL} compact"
            f" $({ETCDCTL} get /alerts/ -w json | grep -o '\"revision\":[0-9]*' | cut -d: -f2)",
        )
        for each in cluster.database_machines:
            cluster.on(each, f"{ETCDCTL} defrag --command-timeout=30s")


def both_standbys_stop(cluster: Cluster) -> AbstractContextManager[None]:
    return stopped(cluster, "patroni", *others(cluster))


def every_patroni_stops(cluster: Cluster) -> AbstractContextManager[None]:
    return stopped(cluster, "patroni", *cluster.database_machines)


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
def leader_hands_over(cluster: Cluster) -> Iterator[None]:
    cluster.on(cluster.leader, "/opt/guestcomms/agent.pyz handover")
    yield


@contextmanager
def patroni_is_paused(cluster: Cluster) -> Iterator[None]:
    machine = standby(cluster)
    cluster.on(machine, f"{PATRONICTL} pause wedsync --wait")
    cluster.on(machine, f"{PG_CTL} stop -m fast")
    try:
        yield
    finally:
        cluster.on(machine, f"{PATRONICTL} resume wedsync --wait")


@contextmanager
def second_primary(cluster: Cluster) -> Iterator[None]:
    machine = standby(cluster)
    cluster.on(machine, f"{PATRONICTL} pause wedsync --wait")
    superuser(cluster, machine, "SELECT pg_promote()")
    try:
        yield
    finally:
        cluster.on(machine, f"{PATRONICTL} resume wedsync --wait")
        # A timeline of the real leader's own, newer than the false one, leads the others back.
        cluster.on(cluster.leader, "/opt/guestcomms/agent.pyz handover")
        rebuild(cluster, machine)


@contextmanager
def setting_waits_for_a_restart(cluster: Cluster) -> Iterator[None]:
    machine = standby(cluster)
    change = f"{PATRONICTL} edit-config wedsync --force -p max_connections="
    kept = superuser(cluster, machine, "SHOW max_connections")
    cluster.on(machine, f"{change}{int(kept) + 5}")
    try:
        yield
    finally:
        cluster.on(machine, f"{change}{kept}")
        until(
            lambda: (
                not any(
                    member["pending_restart"] for member in cluster.health()["members"].values()
                )
            ),
            60,
        )
        pause(1)


CAUSES = (
    # First: it looks at ten minutes, and others below change the leader.
    Cause(("LeaderChanged",), "the leader hands over", leader_hands_over),
    Cause(("MachineDown", "StandbyMissing", "EtcdMemberMissing"), "a standby's machine is killed",
          standby_dies),
    Cause(("NoSynchronousStandby", "ReadOnlyDoorClosed"), "Patroni is stopped on both standbys",
          both_standbys_stop),
    Cause(("EtcdQuorumLost",), "etcd is stopped on two machines", two_etcd_members_stop),
    Cause(("EtcdNoLeader",), "a machine's etcd is cut off from the other members",
          etcd_member_is_cut_off),
    Cause(("EtcdQuota",), f"{ETCD_MIB} MB are written into etcd", etcd_is_filled),
    Cause(("NoPrimary",), "Patroni is stopped everywhere", every_patroni_stops),
    Cause(("FrontDoorClosed",), "the proxy is cut off from Patroni", proxy_sees_nobody),
    Cause(("RestartPending",), "max_connections is changed behind the stack's back",
          setting_waits_for_a_restart),
    Cause(("TwoPrimaries",), "a standby is promoted behind Patroni's back", second_primary),
    Cause(("PostgresDown", "PatroniPaused"), "Patroni is paused, PostgreSQL stopped on a standby",
          patroni_is_paused),
)  # fmt: skip
