"""How long it takes to bring a wrong UPDATE back, and what a writer notices of it.

    .venv/bin/python -m tests.db.table_restore --rows 1000000

One PostgreSQL with a real pgBackRest repository on this machine: a full backup, an UPDATE without
its WHERE, the restore to the moment before it, the comparison, and the copy-back, while a writer
goes on. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guestcomms import db

from tests.db import script
from tests.db.agent import agent, deliver, pgbackrest
from tests.db.repository import TAKE
from tests.db.server import NUMBERS, Database, bootstrapped_server
from tests.db.tenant_rows import Organization, organization
from tests.db.test_backups import ask
from tests.db.test_table_restores import compare, copy_back, moment, restore

WRITE = "SELECT count(*) FROM upsert_guests(%s, %s)"
FILL = """
INSERT INTO public.guests (organization_id, external_id, name, email, email_hash)
SELECT '{organization}', n::text, 'Guest ' || n, 'g' || n || '@example.org', sha256(n::text::bytea)
FROM generate_series(1, {rows}) AS n
"""
CONTENT = """
SELECT sum(hashtextextended(concat_ws('|', external_id, name, email), 0)) FROM public.guests
WHERE organization_id = '{organization}' AND external_id ~ '^[0-9]+$'
"""
SETTINGS = {"archive_mode": "on", "archive_timeout": "1s", "max_wal_size": "4GB"}


class Watch:
    """Seconds by phase, and the seconds of each write that began in it."""

    def __init__(self) -> None:
        self.phase = ""
        self.seconds: dict[str, float] = {}
        self.writes: dict[str, list[float]] = {}

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        self.phase, began = phase, time.monotonic()
        yield
        self.seconds[phase] = time.monotonic() - began
        sys.stderr.write(f"{phase}: {self.seconds[phase]:.1f} s\n")

    @contextmanager
    def writing(self, organization: Organization) -> Iterator[None]:
        stop = threading.Event()

        def write() -> None:
            number = 0
            with organization.database.connect("wedsync_app") as connection:
                while not stop.is_set():
                    number += 1
                    guest = [{"external_id": f"during {number}", "name": "During"}]
                    phase, began = self.phase, time.monotonic()
                    db.one_value(connection, WRITE, (organization.id, json.dumps(guest)))
                    self.writes.setdefault(phase, []).append(time.monotonic() - began)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            yield
        finally:
            stop.set()
            writer.join()


def prove(database: Database, rows: int) -> dict[str, object]:
    """Do it all; returns what was measured."""
    many, watch = organization(database, "many"), Watch()
    names = {"organization": many.id, "rows": rows}
    database.execute(FILL.format(**names))
    database.execute("VACUUM ANALYZE public.guests")
    backup_id = ask(database)
    agent(database.server, TAKE.format(database.name))
    content = database.value(CONTENT.format(**names))
    then = moment(database)
    with watch.writing(many), tempfile.TemporaryDirectory() as folder:
        with watch.measure("before"):
            time.sleep(5)
        with watch.measure("the wrong UPDATE"):
            wrong = "UPDATE public.guests SET name = 'x' WHERE external_id ~ '^[0-9]+$'"
            database.execute(wrong)
        with watch.measure("restore and carry over"):
            was = restore(database, "guests", f"lsn:{then}")
        with watch.measure("compare"):
            found = compare(database, was, Path(folder) / "back.sql")
        with watch.measure("copy back"):
            outcome = copy_back(database, was, Path(folder) / "back.sql")
    equal = database.value(CONTENT.format(**names)) == content
    return {
        "rows": rows,
        "backup": backup_id,
        "pgbackrest_restore_seconds": was.restore_seconds,
        "seconds": watch.seconds,
        "compared": found.counts,
        "outcome": outcome,
        "content is as before": equal,
        "writes": {
            phase: {
                "count": len(times),
                "median_ms": round(statistics.median(times) * 1000, 1),
                "most_ms": round(max(times) * 1000, 1),
            }
            for phase, times in watch.writes.items()
        },
    }


def main() -> int:
    """Print the document; 1 if the rows are not as they were."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows: int = parser.parse_args().rows
    with bootstrapped_server(SETTINGS) as server, tempfile.TemporaryDirectory() as folder:
        deliver(server, Path(folder))
        pgbackrest(server, "stanza-create")
        database = server.clone("template_full", f"test_{next(NUMBERS)}")
        script.run(database)
        found = prove(database, rows)
    sys.stdout.write(json.dumps({"cpus": os.cpu_count(), **found}, indent=2, default=str) + "\n")
    return 0 if found["content is as before"] else 1


if __name__ == "__main__":
    sys.exit(main())
