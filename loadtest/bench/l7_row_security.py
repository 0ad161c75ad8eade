"""L7: each query of the API under row security, and the same by a role that it does not bind.

The other way is the same function owned by a role with BYPASSRLS: its WHERE clause names the
organization, as an application without row security would. Both begin with enter_tenant(): what is
compared is row security, not the check that a login may act for the organization at all.
Both take turns call by call; a sample is the calls a second of one client, by the median of 200.
"""

from __future__ import annotations

import statistics

from guestcomms import db

from loadtest.bench import data
from loadtest.bench.model import Bench, Comparison, seconds
from tests.db.server import Database

ORGANIZATION = "018f0000-0000-7000-8000-000000000001"
QUERIES = {
    "list_recipients, 50 rows": "list_recipients(%(organization)s, %(communication)s)",
    "list_recipients, 500 rows": (
        "list_recipients(%(organization)s, %(communication)s, p_limit => 500)"
    ),
    "list_communications": "list_communications(%(organization)s)",
    "communication_progress": "communication_progress(%(organization)s, %(communication)s)",
}


def run(bench: Bench) -> list[Comparison]:
    """Measure every query on a database with a million recipients."""
    database = bench.database()
    data.organizations(database, 1_000 if bench.quick else data.PER_COMMUNICATION)
    data.communications(database, 20_000 if bench.quick else 200_000)
    _without_row_security(database)
    with database.connect("wedsync_app") as app:
        row = app.execute(
            "SELECT id FROM public.list_communications(%s)", (ORGANIZATION,)
        ).fetchone()
        assert row is not None
        values = {"organization": ORGANIZATION, "communication": row[0]}
        return [_compare(bench, app, name, call, values) for name, call in QUERIES.items()]


def _compare(
    bench: Bench, app: db.Connection, name: str, call: str, values: dict[str, object]
) -> Comparison:
    calls = 20 if bench.quick else 200
    bench.say(name)

    def duration(schema: str) -> float:
        query = f"SELECT * FROM {schema}.{call}".encode()  # noqa: S608
        return seconds(lambda: app.execute(query, values).fetchall())

    samples: tuple[list[float], list[float]] = ([], [])
    for number in range(bench.rounds(15) + 1):
        durations: tuple[list[float], list[float]] = ([], [])
        for turn in range(calls):
            for side in (0, 1) if turn % 2 else (1, 0):
                durations[side].append(duration(("public", "bench")[side]))
        for side in (0, 1):
            if number:  # the first round warms up
                samples[side].append(1 / statistics.median(durations[side]))
    return Comparison(
        name=name,
        unit="calls/s",
        subject="under row security",
        reference="by a role with BYPASSRLS",
        subject_samples=samples[0],
        reference_samples=samples[1],
        target=0.95,
    )


def _without_row_security(database: Database) -> None:
    """Copies of the functions in schema bench."""
    with database.connect() as admin:
        admin.execute(
            """
            DO $do$ BEGIN
                CREATE ROLE bench_bypass NOLOGIN BYPASSRLS IN ROLE comms_owner;
            EXCEPTION WHEN duplicate_object THEN NULL;
            END $do$
            """
        )
        admin.execute("CREATE SCHEMA bench")
        admin.execute("GRANT USAGE, CREATE ON SCHEMA bench TO bench_bypass, wedsync_app")
        for name in sorted({call.partition("(")[0] for call in QUERIES.values()}):
            definition = database.value(f"SELECT pg_get_functiondef('public.{name}'::regproc)")
            text = str(definition).replace(f"FUNCTION public.{name}(", f"FUNCTION bench.{name}(")
            admin.execute(text.encode())
            admin.execute(f"ALTER ROUTINE bench.{name} OWNER TO bench_bypass".encode())
            admin.execute(f"GRANT EXECUTE ON ROUTINE bench.{name} TO wedsync_app".encode())
