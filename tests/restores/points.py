"""Rows of which is known outside the database when and where each was committed."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from tests.ops.cluster.harness import Cluster

INSERT = "SELECT create_organization(gen_random_uuid(), %s), pg_current_xact_id()::text"
AFTER = "SELECT pg_current_wal_insert_lsn()::text, clock_timestamp()::text"
POINT = (
    "INSERT INTO communication_recovery_points (recovery_point_id, recovery_type)"
    " VALUES (%s, 'point_in_time')"
)


@dataclass(frozen=True)
class Moment:
    """A place between two commits, by all its names: the transaction before it, and itself."""

    xid: str
    lsn: str
    time: str
    name: str

    def target(self, kind: str) -> str:
        """It as `--to` takes it."""
        return f"{kind}:{getattr(self, kind)}"


def between(cluster: Cluster, first: str, second: str) -> Moment:
    """Commit organization `first`, then `second`; return the moment between them."""
    with psycopg.connect(cluster.dsn("--role", "ops"), autocommit=True) as ops:
        row = ops.execute(INSERT, [first]).fetchone()
        after = ops.execute(AFTER).fetchone()
        assert row is not None
        assert after is not None
        moment = Moment(xid=row[1], lsn=after[0], time=after[1], name=f"by_hand_{row[1]}")
        ops.execute(POINT, [moment.name])
        ops.execute(INSERT, [second])
    return moment


def names(cluster: Cluster, drill_id: str) -> set[str]:
    """The organizations that a kept copy on the drill machine has."""
    home = f"/var/lib/postgresql/drill/{drill_id}"
    query = f'psql -h {home} -d wedsync -Atc "SELECT name FROM organizations"'
    return set(cluster.on("drill-1", f"runuser -u postgres -- {query}").splitlines())
