"""Where things lie on a machine, in one place."""

from pathlib import Path

CONFIGURATION = Path("/etc/guestcomms")
MACHINE_FILE = CONFIGURATION / "machine.json"  # from user-data: equal in every place
PLACE_FILE = CONFIGURATION / "place.json"  # from the place: addresses and the backup repository
BOOTSTRAP_SQL = CONFIGURATION / "bootstrap.sql"
SECRETS = CONFIGURATION / "secrets"  # root only; `prepare` hands out copies

TLS = CONFIGURATION / "tls"
CA_CERTIFICATE = TLS / "ca.crt"
CERTIFICATE = TLS / "machine.crt"
PRIVATE_KEY = TLS / "machine.key"
CERTIFICATE_AND_KEY = TLS / "machine.pem"  # HAProxy wants both in one file
CHECK_CERTIFICATE = TLS / "check.pem"  # of HAProxy's health checks, see `haproxy`

KEYS = CONFIGURATION / "keys"
KEY_ENCRYPTION_KEY = KEYS / "key_encryption_key"
LOGINS = KEYS / "logins.json"

POOLS = Path("/etc/pgbouncer/pools.ini")  # included by pgbouncer.ini; its directory is postgres's
POOLER_USERS = Path("/etc/pgbouncer/userlist.txt")
REPOSITORY_CONFIGURATION = Path("/etc/pgbackrest/conf.d/repository.conf")
PATRONI_SETTINGS = Path("/etc/patroni/conf.d/20-settings.yml")
RECEIVERS = CONFIGURATION / "receivers"  # secrets of Alertmanager's receivers, a file each
STORE_IDENTITIES = Path("/etc/seaweedfs/s3.json")
HOSTS = Path("/etc/hosts")
ETCD_MEMBERS = Path("/etc/default/etcd-members")
PROXY = Path("/etc/haproxy/haproxy.cfg")

PROMETHEUS = Path("/etc/prometheus/prometheus.yml")
ALERTMANAGER = Path("/etc/prometheus/alertmanager.yml")
ALERTS = Path("/var/lib/prometheus/alerts/received.jsonl")  # what Alertmanager said, on the monitor

STATE = Path("/var/lib/guestcomms")
REFUSED = STATE / "refused"  # why `initialize` would not make a cluster
RESTORE_ORDER = STATE / "restore.json"  # what `initialize` is to restore the cluster to
METRICS = STATE / "metrics"  # read by the node exporter
STANZA_READY = STATE / "stanza-ready"

RELOAD_DUE = Path("/run/guestcomms-reload-due")  # servers have yet to read what `prepare` wrote

WAL = Path("/var/lib/postgresql/17/wedsync/pg_wal")
SPOOL = Path("/var/lib/postgresql/spool")  # pgBackRest's notes on what it pushes
COPIES = Path("/var/lib/postgresql/drill")  # restored copies, on the machine that proves restores
RESTORES = Path("/var/lib/postgresql/restore")  # what a restore of the cluster carries over
POSTGRESQL_SOCKETS = Path("/run/postgresql")
POSTGRESQL_PROGRAMS = Path("/usr/lib/postgresql/17/bin")
