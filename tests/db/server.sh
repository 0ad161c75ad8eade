# A throw-away PostgreSQL with the libraries that the cluster's servers load.
set -eu
export PATH=/usr/lib/postgresql/17/bin:$PATH
data=/var/lib/postgresql/data
as_postgres() { runuser -u postgres -- "$@"; }

install -d -o postgres -m 0700 /etc/guestcomms/keys
head -c 32 /dev/urandom | base64 > /etc/guestcomms/keys/key_encryption_key
chown postgres /etc/guestcomms/keys/key_encryption_key
chmod 0400 /etc/guestcomms/keys/key_encryption_key
install -d -o postgres /run/postgresql /var/lib/guestcomms

as_postgres initdb -D "$data" -E UTF8 --locale=C.UTF-8 --data-checksums --no-sync --auth=trust > /dev/null
echo "host all,replication all all trust" >> "$data/pg_hba.conf"
cat >> "$data/postgresql.conf" <<CONF
listen_addresses = '*'
fsync = off
max_connections = 400
deadlock_timeout = 3s
# pg_cron wants its database to exist: it does once this server has started without it.
shared_preload_libraries = 'pg_cron,pgaudit,pg_stat_statements,pg_wait_sampling'
cron.database_name = 'wedsync'
cron.use_background_workers = on
timezone = 'UTC'
$SETTINGS
CONF
as_postgres pg_ctl -D "$data" -w -o "-c shared_preload_libraries= -c listen_addresses=" start > /dev/null
as_postgres createdb wedsync
as_postgres pg_ctl -D "$data" -w -m fast stop > /dev/null
exec runuser -u postgres -- postgres -D "$data"
