"""The store outlives the cluster: nothing is made over it, and everything comes back from it."""

from __future__ import annotations

from tests.ops.cluster.harness import Cluster

ETCDCTL = (
    "etcdctl --endpoints=https://pg-2:2379 --cacert=/etc/guestcomms/tls/ca.crt"
    " --cert=/etc/guestcomms/tls/machine.crt --key=/etc/guestcomms/tls/machine.key"
)


def test_a_store_that_holds_the_stanza_is_not_overwritten_but_restored(cluster: Cluster) -> None:
    cluster.query("SELECT create_organization(gen_random_uuid(), 'Survivor')", "--role", "ops")
    cluster.on(cluster.leader, "runuser -u postgres -- psql -Atc 'SELECT pg_switch_wal()'")
    cluster.on(cluster.leader, "runuser -u postgres -- pgbackrest --stanza=wedsync check")
    cluster.run("down", "--keep-backups", "--yes")
    assert [name for name in cluster.objects() if "seaweedfs" not in name] == []

    refused = cluster.run("up", "--yes", ok=False)
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "already holds stanza wedsync" in said
    assert "guestcomms:bootstrap" in said

    # As if a machine had vanished while it made the cluster: Patroni's mark, which nobody clears.
    cluster.on("pg-2", f"{ETCDCTL} put /guestcomms/wedsync/initialize ''")

    cluster.configure(bootstrap="restore")
    cluster.run("up", "--yes")
    names = cluster.query("SELECT name FROM organizations", "--role", "ops")
    assert ("Survivor",) in names
    assert cluster.json("status")["healthy"] is True
    # Nobody knows yet what was sent in the last seconds before the end of the archive.
    state = "SELECT frozen, reason, facts_due FROM internal.sending_state"
    assert cluster.query(state, "--role", "ops") == [(True, "restored from a backup", False)]
    cluster.run("restore", "thaw", "--yes")
