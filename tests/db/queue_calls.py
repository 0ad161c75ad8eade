"""Messages in the queue, as bulk_send() leaves them, and the calls of workers and providers.

For tests of what happens to a message after it was queued; `tenant_rows` has everything before.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from guestcomms import db

from tests.db.server import Database

WRITE = """
WITH message AS (
    INSERT INTO public.guest_communications (
        organization_id, id, created_at, message_title, message_type, message_category, purpose, lawful_basis,
        subject, body, compiled, status, priority, total_recipients, queued_count
    )
    SELECT %(organization)s, %(message)s, internal.uuid_v7_time(%(message)s), 'Hello', %(channel)s, 'transactional',
        'wedding', 'contract', 'Hello', 'Hello', '{}', 'sending', %(priority)s, %(count)s, %(count)s
    RETURNING *
), recipients AS (
    INSERT INTO public.communication_recipients (
        organization_id, id, communication_id, communication_created_at, recipient_key, channel, recipient_email,
        address_hash, lawful_basis, created_at
    )
    SELECT message.organization_id, overlay(message.id::text PLACING lpad(to_hex(number), 6, '0') FROM 31)::uuid,
        message.id, message.created_at, gen_random_uuid(), message.message_type, number || '@example.com',
        CASE WHEN message.message_type <> 'in_app' THEN sha256(convert_to(number::text, 'UTF8')) END,
        'contract', now()
    FROM message CROSS JOIN generate_series(0, %(count)s - 1) AS number
    RETURNING id
)
INSERT INTO public.communication_batch_queue (
    organization_id, batch_id, operation_type, channel, priority, state, run_at, fair_rank,
    communication_id, communication_created_at, first_recipient_id, last_recipient_id, recipients
)
SELECT message.organization_id, format('%%s/%%s', message.id, chunk.number), 'send', message.message_type,
    message.priority,
    CASE WHEN %(run_in)s::interval > '0' THEN 'scheduled' ELSE 'ready' END, now() + %(run_in)s::interval,
    %(rank)s + chunk.number * %(chunk)s + least(%(chunk)s, %(count)s), message.id, message.created_at,
    overlay(message.id::text PLACING lpad(to_hex(chunk.number * %(chunk)s), 6, '0') FROM 31)::uuid,
    overlay(
        message.id::text PLACING lpad(to_hex(least((chunk.number + 1) * %(chunk)s, %(count)s) - 1), 6, '0') FROM 31
    )::uuid,
    least(%(chunk)s, %(count)s - chunk.number * %(chunk)s)
FROM message CROSS JOIN generate_series(0, (%(count)s - 1) / %(chunk)s) AS chunk (number)
"""  # noqa: E501


@dataclass(frozen=True)
class Claimed:
    """A chunk that was claimed."""

    organization_id: str
    batch_id: str
    communication_id: str
    lease_token: str
    recipient_ids: list[str]

    def results(self, outcome: str = "sent", **more: str) -> list[dict[str, str]]:
        """The same outcome for everybody."""
        extra = {"provider": "smtp"} if outcome == "sent" else {}
        return [
            {"recipient_id": one, "outcome": outcome, **extra, **more} for one in self.recipient_ids
        ]


def organization(database: Database, name: str = "A") -> str:
    """A new organization, and a worker that may act for every one."""
    database.execute("SELECT set_login_unrestricted('wedsync_worker', true, 'x')", "wedsync_ops")
    with database.connect("wedsync_ops") as ops:
        return str(
            db.one_value(
                ops,
                b"SELECT organization_id"
                b" FROM create_organization(NULL, %s, 'UTC', '{wedsync_app}')",
                (name,),
            )
        )


def queue(
    connection: db.Connection,
    organization_id: str,
    count: int,
    *,
    chunk: int = 1000,
    priority: int = 5,
    rank: int = 0,
    run_in: str = "0",
    channel: str = "email",
) -> str:
    """Write a message to so many recipients, in chunks; returns its id."""
    message = str(db.one_value(connection, b"SELECT internal.uuid_v7()"))
    message = f"{message[:30]}000000"
    connection.execute(
        WRITE.encode(),
        {
            "organization": organization_id,
            "message": message,
            "count": count,
            "chunk": chunk,
            "priority": priority,
            "rank": rank,
            "run_in": run_in,
            "channel": channel,
        },
    )
    return message


def claim(
    worker: db.Connection,
    batches: int = 1,
    messages: int = 100,
    lease: str = "60 seconds",
    channels: list[str] | None = None,
) -> list[Claimed]:
    """Claim as a worker does."""
    rows = db.rows(
        worker,
        "SELECT organization_id::text, batch_id, communication_id::text, lease_token::text,"
        " recipient_ids::text[] FROM public.claim_batches("
        "'tests', %s, %s::interval, %s, %s)",
        (batches, lease, messages, channels),
    )
    return [Claimed(**row) for row in rows]


def complete(worker: db.Connection, claimed: Claimed, results: list[dict[str, str]]) -> str:
    """Answer for a chunk; returns what became of it."""
    return str(
        db.rows(
            worker,
            "SELECT public.complete_batch(%s, %s, %s, %s::jsonb) AS state",
            (claimed.organization_id, claimed.batch_id, claimed.lease_token, json.dumps(results)),
        )[0]["state"]
    )


def event(recipient_id: str, status: str, **more: str | None) -> dict[str, str | None]:
    """A provider's report, with a name of its own unless one is given."""
    return {
        "provider": "smtp",
        "provider_event_id": str(uuid.uuid4()),
        "recipient_id": recipient_id,
        "status": status,
        "occurred_at": "2026-01-01T12:00:00Z",
        **more,
    }


def record(
    connection: db.Connection, organization_id: str, events: list[dict[str, Any]]
) -> tuple[int, int, int]:
    """Record events; returns how many were accepted, duplicates, unmatched."""
    row = db.rows(
        connection,
        "SELECT * FROM public.record_delivery_events(%s, %s::jsonb)",
        (organization_id, json.dumps(events)),
    )[0]
    return row["accepted"], row["duplicates"], row["unmatched"]


def states(connection: db.Connection, message: str) -> dict[str, int]:
    """How many recipients are in each state."""
    rows = db.rows(
        connection,
        "SELECT status, count(*) FROM public.communication_recipients"
        " WHERE communication_id = %s GROUP BY status",
        (message,),
    )
    return {row["status"]: row["count"] for row in rows}


def counters(connection: db.Connection, message: str) -> dict[str, int]:
    """What the communication says of itself, with the changes not summed up yet; without zeros."""
    rows = connection.execute(
        b"""
        SELECT status, sum(number)::bigint AS number FROM (
            SELECT replace(counter.key, '_count', '') AS status, counter.value::bigint AS number
            FROM public.guest_communications AS message
            CROSS JOIN jsonb_each_text(to_jsonb(message)) AS counter
            WHERE message.id = %(message)s AND counter.key LIKE '%%\\_count'
            UNION ALL
            SELECT status, delta FROM internal.communication_counter_deltas
            WHERE communication_id = %(message)s AND status <> 'total'
        ) AS changes GROUP BY status HAVING sum(number) <> 0
        """,
        {"message": message},
    )
    return {row[0]: row[1] for row in rows}
