"""L4: bulk_send() with all gates, and a bare INSERT … SELECT of the same rows into the same table.

The bare way finds its rows ready in a table, chooses nothing, asks nobody, encrypts nothing and
fills no queue; keys, indexes and foreign keys are the same. Each round has a communication of
its own.
"""

from __future__ import annotations

import json
import uuid

from guestcomms import db

from loadtest.bench.model import Bench, Comparison, alternate, seconds
from tests.db.server import Database

ORGANIZATION = str(uuid.uuid4())
PERSONAL = {
    "table": "7",
    "seat": "12",
    "menu": "vegetarian",
    "note": "We look forward to seeing you.",
}


def run(bench: Bench) -> list[Comparison]:
    """Measure with and without personalisation; samples are recipients a second."""
    guests = 2_000 if bench.quick else 20_000
    database = bench.database()
    _prepare(database, guests)
    with database.connect("wedsync_app") as app, database.connect() as admin:
        keys = [
            row[0]
            for row in admin.execute("SELECT guest_id FROM public.guests ORDER BY 1").fetchall()
        ]
        recipients = json.dumps(
            [{"guest_id": str(key), "personalisation": PERSONAL} for key in keys]
        )
        subjects = {
            "guests": ("p_guest_ids => %s", keys, 0.5),
            "personalised recipients": ("p_recipients => %s::jsonb", recipients, 0.3),
        }
        return [
            _compare(bench, (app, admin), name, (call, values), target)
            for name, (call, values, target) in subjects.items()
        ]


def _compare(
    bench: Bench,
    connections: tuple[db.Connection, db.Connection],
    name: str,
    subject: tuple[str, object],
    target: float,
) -> Comparison:
    (app, admin), (call, values) = connections, subject

    def send() -> float:
        made = _communication(app)
        query = f"SELECT accepted FROM public.bulk_send(%s, %s, {call})".encode()  # noqa: S608
        bench.say(f"bulk_send() of {name}")
        return _rate(admin, made, lambda: app.execute(query, (ORGANIZATION, made, values)))

    def insert() -> float:
        source = _communication(app)
        app.execute(
            f"SELECT public.bulk_send(%s, %s, {call})".encode(), (ORGANIZATION, source, values)
        )
        made = _communication(app)
        admin.execute("TRUNCATE bare")
        admin.execute(
            """
            INSERT INTO bare SELECT * FROM public.communication_recipients
            WHERE communication_id = %s
            """,
            (source,),
        )
        admin.execute(
            """
            UPDATE bare SET communication_id = %(made)s::uuid,
                communication_created_at = internal.uuid_v7_time(%(made)s::uuid),
                id = (left(%(made)s::text, 13) || substr(id::text, 14))::uuid
            """,
            {"made": made},
        )
        admin.execute("VACUUM ANALYZE bare")
        query = b"INSERT INTO public.communication_recipients SELECT * FROM bare ORDER BY id"
        return _rate(admin, made, lambda: admin.execute(query))

    sent, inserted = alternate(bench.rounds(), send, insert)
    return Comparison(
        name=f"bulk_send() of {name}",
        unit="recipients/s",
        subject="bulk_send(), all gates",
        reference="bare INSERT … SELECT",
        subject_samples=sent,
        reference_samples=inserted,
        target=target,
    )


def _prepare(database: Database, guests: int) -> None:
    """Guests; one in 16 has wishes, one in 64 a frequency cap, one in 256 is suppressed."""
    with database.connect("wedsync_ops") as ops:
        ops.execute(
            "SELECT public.create_organization(%s, 'Bench', 'UTC', ARRAY['wedsync_app']::name[])",
            (ORGANIZATION,),
        )
    with database.connect() as admin:
        values = {"organization": ORGANIZATION, "guests": guests}
        for statement in (
            """
            INSERT INTO public.guests (organization_id, name, email, email_hash)
            SELECT %(organization)s, 'Guest ' || number, format('guest%%s@example.org', number),
                sha256(number::text::bytea)
            FROM generate_series(1, %(guests)s) AS number
            """,
            """
            INSERT INTO public.suppressions (organization_id, channel, address_hash, reason)
            SELECT organization_id, 'email', email_hash, 'hard_bounce' FROM public.guests
            WHERE get_byte(email_hash, 0) = 0
            """,
            """
            INSERT INTO public.communication_preferences (
                organization_id, guest_id, channel, quiet_from, quiet_until, max_messages,
                per_interval
            )
            SELECT organization_id, guest_id, 'email', '22:00', '07:00',
                CASE WHEN get_byte(email_hash, 1) < 4 THEN 100 END,
                CASE WHEN get_byte(email_hash, 1) < 4 THEN interval '1 day' END
            FROM public.guests WHERE get_byte(email_hash, 1) < 16
            """,
            "CREATE UNLOGGED TABLE bare (LIKE public.communication_recipients)",
            "VACUUM ANALYZE",
        ):
            admin.execute(statement.encode(), values if "%(" in statement else None)


def _communication(app: db.Connection) -> str:
    row = app.execute(
        "SELECT id::text FROM public.create_communication(%s, 'Bench', 'email', 'wedding_updates',"
        " p_subject => 'Hello', p_body => '<p>Hello {{guest_name}}</p>')",
        (ORGANIZATION,),
    ).fetchone()
    assert row is not None
    return str(row[0])


def _rate(admin: db.Connection, communication: str, work: object) -> float:
    """Recipients a second, counted afterwards."""
    assert callable(work)
    taken = seconds(work)
    count = "SELECT count(*) FROM public.communication_recipients WHERE communication_id = %s"
    row = admin.execute(count.encode(), (communication,)).fetchone()
    assert row is not None
    return float(row[0]) / taken
