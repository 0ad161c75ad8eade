"""A wrong UPDATE and a DROP TABLE of a million rows are brought back while the cluster serves.

As docs/how-to/restore-a-table.md tells, through the front door of a real cluster whose writers go
on. What the table has to hold is known outside the database: the million guests are a function of
their number, and what writers added is what was acknowledged to them.
"""

from __future__ import annotations

import json
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from guestcomms import paths

from tests.ops.alerts.causes.common import superuser
from tests.ops.cluster import writer
from tests.ops.cluster.harness import Cluster
from tests.ops.cluster.writer import Ack, Writers
from tests.restores import people

pytestmark = pytest.mark.timeout(3600)

ROWS = 1_000_000
WRITERS = 4
GUESTS = 100
"""The number of the writer that adds guests."""
PATIENCE = 2400.0
"""Seconds for one command: a million rows go back in a thousand transactions."""
OWNER = ("--role", "migrator", "--direct")
FILL = f"""
INSERT INTO public.guests
    (organization_id, guest_id, external_id, name, email, email_hash, created_at, updated_at)
SELECT '{{organization}}', lpad(to_hex(n), 32, '0')::uuid, n::text, 'Guest ' || n,
    'g' || n || '@example.org', sha256(n::text::bytea), '2026-01-01 00:00:00+00', now()
FROM generate_series(1, {ROWS}) AS n
"""
CONTENT = """
COPY (
    SELECT external_id, guest_id, name, email, encode(email_hash, 'hex'),
        (extract(epoch FROM created_at) * 1000000)::bigint
    FROM public.guests
    WHERE organization_id = '{organization}' AND external_id ~ '^[0-9]+$'
    ORDER BY external_id::bigint
) TO STDOUT
"""
ADDED = """
SELECT external_id, name FROM public.guests
WHERE organization_id = '{organization}' AND external_id LIKE 'during %'
"""
WRONG = "SET statement_timeout = 0; UPDATE public.guests SET name = split_part(name, ' ', 1)"
"""Of guests who were erased too, if there are any: they keep having no name, or it is refused."""
WHO_DID_IT = "SELECT xmin FROM public.guests WHERE name = 'Guest' LIMIT 1"
DROP = "SET ROLE comms_owner; SET lock_timeout = '10s'; DROP TABLE public.guests CASCADE"


class GuestWriter(Writers):
    """Adds guests to an organization, one after the other, with the application's call."""

    def __init__(self, dsn: str, organization: str) -> None:
        super().__init__(dsn, 1, first=GUESTS)
        self._organization = organization

    def _insert(
        self, connection: psycopg.Connection, writer: int, number: int, warnings: list[str]
    ) -> None:
        guest = [{"external_id": f"during {number}", "name": f"During {number}"}]
        sent = time.time()
        connection.execute(
            "SELECT count(*) FROM upsert_guests(%s, %s)", (self._organization, json.dumps(guest))
        )
        if not warnings:
            with self._lock:
                self.record.acked[writer, number] = Ack(writer, number, sent, time.time(), 0)
        warnings.clear()


@dataclass
class Story:
    """What is known outside the database, and when what was done (Unix time)."""

    organization: str
    ledger: Writers
    guests: GuestWriter
    phases: dict[str, tuple[float, float]] = field(default_factory=dict)
    restores: dict[str, dict[str, Any]] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Note when something began and ended."""
        began = time.time()
        yield
        self.phases[name] = began, time.time()

    def seen(self, name: str) -> dict[str, float]:
        """What a phase took, and what writers noticed of it: milliseconds of their writes."""
        began, ended = self.phases[name]
        seen: dict[str, float] = {"seconds": round(ended - began, 1)}
        for whose, writers in (("ledger", self.ledger), ("guests", self.guests)):
            acks = list(writers.record.acked.values())
            times = [1000 * (ack.at - ack.sent) for ack in acks if began <= ack.sent < ended]
            seen[f"{whose}_writes"] = len(times)
            if times:
                seen[f"{whose}_median_ms"] = round(statistics.median(times), 1)
                seen[f"{whose}_longest_ms"] = round(max(times), 1)
        return seen


@pytest.fixture(scope="module")
def story(cluster: Cluster) -> Iterator[Story]:
    """A million guests, a backup with them, and writers that go on until the end."""
    organization = people.found(cluster)
    superuser(cluster, cluster.leader, "SET statement_timeout = 0;" + _line(FILL, organization))
    superuser(cluster, cluster.leader, "VACUUM ANALYZE public.guests")
    cluster.query(writer.DROP, *OWNER)
    cluster.query(writer.CREATE, *OWNER)
    cluster.json("backup", "run", "full", "--wait")
    app = cluster.dsn("--role", "app")
    with Writers(app, WRITERS) as ledger, GuestWriter(app, organization) as guests:
        ledger.wait_for(100, 60)
        guests.wait_for(100, 60)
        yield Story(organization, ledger, guests)
    cluster.query(writer.DROP, *OWNER)


def _line(sql: str, organization: str) -> str:
    return " ".join(sql.format(organization=organization).split())


def assert_content(cluster: Cluster, story: Story) -> None:
    """The million are what they were, and whoever was acknowledged until now is there."""
    acked = set(story.guests.record.acked)
    have, want = sha256(), sha256()
    for n in range(1, ROWS + 1):
        want.update(guest(n))
    with psycopg.connect(cluster.dsn(*OWNER), autocommit=True) as connection:
        connection.execute("SET ROLE comms_maintenance")
        connection.execute("SET statement_timeout = 0")
        query = _line(CONTENT, story.organization).encode()
        with connection.cursor().copy(query) as lines:
            for line in lines:
                have.update(line)
        found = connection.execute(_line(ADDED, story.organization).encode())
        added: dict[str, str] = dict(found.fetchall())
    assert have.hexdigest() == want.hexdigest()
    assert {f"during {number}" for _, number in acked} <= set(added)
    assert {key: name for key, name in added.items() if name != key.capitalize()} == {}


def guest(n: int) -> bytes:
    """A line of CONTENT, as it has to be."""
    hashed = sha256(str(n).encode()).hexdigest()
    made = 1_767_225_600_000_000  # 2026-01-01
    return f"{n}\t{uuid.UUID(int=n)}\tGuest {n}\tg{n}@example.org\t{hashed}\t{made}\n".encode()


def brought_back(cluster: Cluster, story: Story, what: str, file: Path, *target: str) -> None:
    """The manual's steps 1 to 3: bring the rows, compare, copy back what was compared."""
    before = len(story.ledger.record.acked)
    with story.phase(f"{what}: restore and compare"):
        said = cluster.json(
            "restore", "table", "guests", "--to", *target, "--output", str(file), seconds=PATIENCE
        )
    with story.phase(f"{what}: copy back"):
        apply_it = ("restore", "table", "--apply", said["drill_id"], "--output", str(file))
        done = cluster.json(*apply_it, "--yes", seconds=PATIENCE)
    drill = cluster.json("restore", "show", said["drill_id"])
    figures = ("restore_seconds", "recovery_seconds", "total_seconds", "restored_bytes")
    story.restores[what] = {
        **{name: said[name] for name in ("missing", "changed", "left_out")},
        **{name: drill[name] for name in figures},
        "outcome": done["outcome"],
        "drill_id": said["drill_id"],
    }
    assert len(story.ledger.record.acked) > before
    assert said["left_out"] == {}
    assert done["outcome"] == {"applied": said["missing"] + said["changed"]}


def test_a_wrong_update_is_brought_back(cluster: Cluster, story: Story, tmp_path: Path) -> None:
    """To the transaction that did it, without it: any of its rows has the number."""
    assert_content(cluster, story)
    with story.phase("before"):
        story.ledger.wait_for(500, 60)
    with story.phase("the wrong UPDATE"):
        superuser(cluster, cluster.leader, WRONG)
    transaction = superuser(cluster, cluster.leader, WHO_DID_IT)
    with pytest.raises(AssertionError):
        assert_content(cluster, story)
    file = tmp_path / "back.sql"
    brought_back(cluster, story, "UPDATE", file, f"xid:{transaction}", "--exclusive")
    assert story.restores["UPDATE"]["missing"] == 0
    assert story.restores["UPDATE"]["changed"] >= ROWS
    assert_content(cluster, story)


def test_a_dropped_table_is_brought_back(cluster: Cluster, story: Story, tmp_path: Path) -> None:
    """To the moment that pgaudit's line in PostgreSQL's log tells."""
    leader = cluster.leader
    with story.phase("DROP TABLE"):
        cluster.query(DROP, *OWNER)
    line = cluster.on(leader, "journalctl -u patroni -o cat | grep 'AUDIT.*DROP TABLE' | tail -1")
    date, clock, zone, _ = line.split(maxsplit=3)
    brought_back(cluster, story, "DROP", tmp_path / "back.sql", f"time:{date} {clock} {zone}")
    assert story.restores["DROP"]["missing"] >= ROWS
    with story.phase("DROP: migrate apply"):
        cluster.run("migrate", "apply")
    dropped, _ = story.phases["DROP TABLE"]
    _, back = story.phases["DROP: migrate apply"]
    story.guests.wait_for(100, 60)
    assert_content(cluster, story)
    story.guests.stop()
    story.ledger.stop()
    assert_content(cluster, story)
    rows = writer.rows(cluster.dsn("--role", "app", "--direct"))
    measured = {
        "rows": ROWS,
        "restores": story.restores,
        "phases": {name: story.seen(name) for name in story.phases},
        "acknowledged": len(story.ledger.record.acked),
        "longest_gap_seconds": round(story.ledger.record.longest_gap, 2),
        "guests_acknowledged": len(story.guests.record.acked),
        "guests_gone_seconds": round(
            max(
                length
                for began, length in story.guests.record.silences(0)
                if began + length >= dropped and began <= back
            ),
            1,
        ),
    }
    paths.evidence("table-restore").write_text(json.dumps(measured, indent=1) + "\n")
    assert set(story.ledger.record.acked) <= set(rows)
    assert [key for key, times in rows.items() if times > 1] == []
    assert story.ledger.record.errors == 0
    for restore in story.restores.values():
        cluster.run("restore", "table", "--drop", restore["drill_id"], "--yes")
    assert cluster.json("status")["healthy"] is True
