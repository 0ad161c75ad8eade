"""claim_batches() with complete_batch(), and PGMQ's read() with archive(): the same messages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from statistics import harmonic_mean
from typing import LiteralString

from guestcomms import db

from loadtest.bench.model import Bench, Comparison, alternate
from tests.db import queue_calls
from tests.db.server import NUMBERS, Database

BATCHES = (1, 10, 100)
OURS: LiteralString = (
    "SELECT organization_id, batch_id, lease_token, recipient_ids"
    " FROM public.claim_batches('bench', 1, '60 seconds', %s)"
)
# What is asked at claim, with answers to find: every guest has preferences, some are suppressed.
GATED = """
SET session_replication_role = replica;
INSERT INTO public.guests (organization_id, guest_id, name, email, email_hash)
SELECT organization_id, recipient_key, 'Guest', recipient_email, address_hash
FROM public.communication_recipients WHERE address_hash IS NOT NULL ON CONFLICT DO NOTHING;
UPDATE public.communication_recipients SET guest_id = recipient_key WHERE address_hash IS NOT NULL;
INSERT INTO public.communication_preferences (organization_id, guest_id, channel)
SELECT organization_id, guest_id, 'email' FROM public.guests ON CONFLICT DO NOTHING;
INSERT INTO public.suppressions (organization_id, channel, address_hash, reason)
SELECT organization_id, 'email', sha256(convert_to('other' || number, 'UTF8')), 'manual'
FROM public.organizations CROSS JOIN generate_series(1, 10000) AS number ON CONFLICT DO NOTHING;
"""


def run(bench: Bench) -> list[Comparison]:
    """Each size of a batch without gates and with them, then beside an old transaction."""
    found = []
    ours, theirs = bench.database(), pgmq(bench)
    organization = queue_calls.organization(ours)
    rounds = bench.rounds()
    for gates in (False, True):
        for size in BATCHES:
            count = size * (20 if bench.quick else {1: 1000, 10: 400, 100: 100}[size])
            fill_ours(ours, organization, count * (rounds + 1), gates=gates)
            fill_theirs(theirs, count * (rounds + 1))
            with ours.connect("wedsync_worker") as worker, theirs.connect() as reader:
                subject, reference = alternate(
                    rounds,
                    partial(rate, partial(our_batch, worker, size), count),
                    partial(rate, partial(their_batch, reader, size), count),
                )
            empty(ours, theirs)
            found.append(
                Comparison(
                    f"queue, {size} a call{', gates with data' if gates else ''}",
                    "messages/s", "claim_batches() + complete_batch()", "PGMQ read() + archive()",
                    subject, reference, 1.0,
                    note="e-mail to guests with preferences, 10,000 suppressions" if gates else
                    "in-app messages under a contract: nothing for the gates to find",
                )
            )  # fmt: skip
    found.append(beside_an_old_transaction(bench, ours, theirs, organization))
    return found


def beside_an_old_transaction(
    bench: Bench, ours: Database, theirs: Database, organization: str
) -> Comparison:
    """Ten messages a call in turns, while a transaction in each database keeps every dead row.

    Both have the same number of messages behind them all the time: as many dead rows.
    """
    duration = 2.0 if bench.quick else 60.0
    count = 10_000 if bench.quick else 400_000
    fill_ours(ours, organization, count, gates=False)
    fill_theirs(theirs, count)
    done, subject, reference = 0, [], []
    with (
        ours.connect() as our_old,
        theirs.connect() as their_old,
        ours.connect("wedsync_worker") as worker,
        theirs.connect() as reader,
    ):
        for old in (our_old, their_old):
            old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            old.execute("SELECT count(*) FROM pg_class")
        start = time.perf_counter()
        for tenth in range(1, 11):
            samples: tuple[list[float], list[float]] = ([], [])
            while time.perf_counter() - start < duration * tenth / 10:
                samples[0].append(rate(partial(our_batch, worker, 10), 100))
                samples[1].append(rate(partial(their_batch, reader, 10), 100))
            done += 100 * len(samples[0])
            subject.append(harmonic_mean(samples[0]))
            reference.append(harmonic_mean(samples[1]))
    return Comparison(
        "queue, 10 a call, beside a transaction open for 60 s", "messages/s",
        "claim_batches() + complete_batch()", "PGMQ read() + archive()", subject, reference, 2.0,
        note=f"in turns; samples are the tenths, in order; {done:,} messages each in the end",
    )  # fmt: skip


def our_batch(worker: db.Connection, size: int) -> int:
    """Claim and answer: every message is sent, and the provider has a name for it."""
    [(organization, batch, token, ids)] = worker.execute(OURS, (size,)).fetchall()
    results = [
        {"recipient_id": str(one), "outcome": "sent", "provider": "bench",
         "provider_message_id": one.hex}
        for one in ids
    ]  # fmt: skip
    worker.execute(
        "SELECT public.complete_batch(%s, %s, %s, %s)",
        (organization, batch, token, json.dumps(results)),
    )
    return len(ids)


def their_batch(reader: db.Connection, size: int) -> int:
    """Read and archive."""
    rows = reader.execute("SELECT msg_id FROM pgmq.read('bench', 60, %s)", (size,)).fetchall()
    ids = [row[0] for row in rows]
    reader.execute("SELECT pgmq.archive('bench', %s::bigint[])", (ids,))
    return len(ids)


def rate(batch: Callable[[], int], count: int) -> float:
    """Messages a second, over so many messages."""
    start, done = time.perf_counter(), 0
    while done < count:
        done += batch()
    return done / (time.perf_counter() - start)


def fill_ours(database: Database, organization: str, count: int, *, gates: bool) -> None:
    """Queue messages in chunks of 1000."""
    with database.connect() as owner:
        queue_calls.queue(owner, organization, count, channel="email" if gates else "in_app")
        if gates:
            owner.execute(GATED.encode())
        owner.execute("VACUUM ANALYZE")


def fill_theirs(database: Database, count: int) -> None:
    """Send as many messages, as small as ours are in the queue."""
    with database.connect() as owner:
        owner.execute(
            "SELECT pgmq.send_batch('bench', (SELECT array_agg(jsonb_build_object('id',"
            " gen_random_uuid())) FROM generate_series(1, 1000))) FROM generate_series(1, %s)",
            (-(-count // 1000),),
        )
        owner.execute("VACUUM ANALYZE")


def empty(ours: Database, theirs: Database) -> None:
    """Leave nothing for the next measurement."""
    ours.execute("DELETE FROM public.communication_batch_queue")
    theirs.execute("TRUNCATE pgmq.q_bench, pgmq.a_bench")


def pgmq(bench: Bench) -> Database:
    """A database with PGMQ, as its package for Python installs it without an extension."""
    database = bench.server.clone("template_empty", f"bench_{next(NUMBERS)}")
    bench.databases.append(database)
    source = distribution("pgmq").locate_file("pgmq/sql/pgmq.sql")
    database.execute(Path(str(source)).read_text(encoding="utf-8"))
    database.execute("SELECT pgmq.create('bench')")
    return database
