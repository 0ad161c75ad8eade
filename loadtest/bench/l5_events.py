"""record_delivery_events() in batches of 500, and one bare UPDATE of as many rows."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

from guestcomms import db

from loadtest.bench import data
from loadtest.bench.model import Bench, Comparison, alternate, seconds

ORGANIZATION = "018f0000-0000-7000-8000-000000000001"
BATCH = 500
BARE = """
UPDATE public.communication_recipients AS recipient
SET status = report.status, delivered_at = least(recipient.delivered_at, report.occurred_at)
FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[]) AS report (id, status, occurred_at)
WHERE recipient.organization_id = %s AND recipient.id = report.id
    AND recipient.communication_created_at = internal.uuid_v7_time(report.id)
"""


def run(bench: Bench) -> list[Comparison]:
    """Every recipient gets one event, from one way or the other."""
    batches = 2 if bench.quick else 10
    database = bench.database()
    data.organizations(database)
    data.communications(database, 40_000 if bench.quick else 400_000)
    with database.connect("wedsync_worker") as worker, database.connect() as owner:
        fresh = recipients(owner)

        def events() -> float:
            calls = [
                [
                    {
                        "provider": "file",
                        "provider_event_id": uuid.uuid4().hex,
                        "recipient_id": next(fresh),
                        "status": "delivered",
                        "occurred_at": "2026-01-01T00:00:00Z",
                    }
                    for _ in range(BATCH)
                ]
                for _ in range(batches)
            ]
            bodies = [json.dumps(call) for call in calls]
            took = seconds(
                lambda: [
                    worker.execute(
                        "SELECT * FROM public.record_delivery_events(%s, %s)", (ORGANIZATION, body)
                    ).fetchall()
                    for body in bodies
                ]
            )
            return batches * BATCH / took

        def bare() -> float:
            calls = [[next(fresh) for _ in range(BATCH)] for _ in range(batches)]
            status, at = ["delivered"] * BATCH, ["2026-01-01T00:00:00Z"] * BATCH
            took = seconds(
                lambda: [owner.execute(BARE, (ids, status, at, ORGANIZATION)) for ids in calls]
            )
            return batches * BATCH / took

        measured = alternate(bench.rounds(), events, bare)
    return [
        Comparison(
            "delivery events, 500 a call", "events/s", "record_delivery_events()",
            "UPDATE … FROM unnest()", *measured, 0.4,
            note="the function also keeps every event and the changes of counters",
        )
    ]  # fmt: skip


def recipients(owner: db.Connection) -> Iterator[str]:
    """Recipients of the largest organization, each once, in the order of their keys."""
    rows = db.rows(
        owner,
        "SELECT id::text FROM public.communication_recipients WHERE organization_id = %s"
        " ORDER BY id",
        (ORGANIZATION,),
    )
    return iter([row["id"] for row in rows])
