"""P95 of each operation at 0.1, 1 and 10 million recipients: at most 20 % more a step.

The sizes take turns call by call: what else the machine does meets all of them. All begin behind
a checkpoint, after which the first change of a page writes the whole page to the log; without it,
the pages of the smallest would all have been changed before. The organization asked about is in
the cache, as far as that holds it: what is measured is the work of a call, not of the disk.
"""

from __future__ import annotations

import json
import random
import statistics
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, LiteralString

from guestcomms import db

from loadtest.bench import data
from loadtest.bench.model import Bench, Comparison
from tests.db.server import Database

LEVELS = (100_000, 1_000_000, 10_000_000)
QUICK_LEVELS = (20_000, 40_000, 80_000)
CALLS = 100
"""Calls whose P95 is one sample."""
LARGEST = "018f0000-0000-7000-8000-000000000001"
"""The organization with half of everything."""
WARM = (
    b"CREATE EXTENSION pg_prewarm",
    (
        b"SELECT sum(pg_prewarm(indexrelid))"
        b" FROM pg_index JOIN pg_partition_tree('communication_recipients') ON relid = indrelid"
        b" WHERE isleaf"
    ),
    b"SET enable_seqscan = off",  # it would push out of the cache what it reads
    b"SELECT count(address_hash) FROM public.communication_recipients WHERE organization_id = %s",
)
"""Read the recipients of one organization, and all indexes."""


@dataclass
class Level:
    """A database with so many recipients, and connections to it."""

    recipients: int
    database: Database
    app: db.Connection = field(init=False)
    worker: db.Connection = field(init=False)
    communications: list[uuid.UUID] = field(init=False)
    guests: list[uuid.UUID] = field(init=False)
    random: random.Random = field(default_factory=lambda: random.Random(8))  # noqa: S311

    def __post_init__(self) -> None:
        self.app = self.database.connect("wedsync_app")
        self.worker = self.database.connect("wedsync_worker")
        with self.database.connect() as connection:
            self.communications = [
                row["id"]
                for row in db.rows(
                    connection,
                    "SELECT id FROM public.guest_communications WHERE organization_id = %s",
                    (LARGEST,),
                )
            ]
            self.guests = [
                row["guest_id"]
                for row in db.rows(
                    connection,
                    "SELECT guest_id FROM public.guests WHERE organization_id = %s",
                    (LARGEST,),
                )
            ]

    def ask(self, query: LiteralString, *values: object, worker: bool = False) -> Any:
        """The first row that a call answers with; it has to answer with one."""
        connection = self.worker if worker else self.app
        row = connection.execute(query, values).fetchall()[0]
        return row[0] if len(row) == 1 else row

    def one(self) -> uuid.UUID:
        """A communication of 10,000 recipients."""
        return self.random.choice(self.communications)

    def new(self) -> uuid.UUID:
        """A communication without recipients."""
        made = self.ask(
            "SELECT id FROM public.create_communication(%s, 'Bench', 'email', 'wedding_updates',"
            " p_subject => 'Hello', p_body => '<p>Hello</p>', p_lawful_basis => 'contract')",
            LARGEST,
        )
        return uuid.UUID(str(made))

    def query_recipients(self, communication: uuid.UUID) -> None:
        """A filtered page of 50 recipients of 10,000."""
        self.ask(
            "SELECT count(*) FROM public.list_recipients(%s, %s, 'sent', %s, 50)",
            LARGEST, communication, self.random.choice(self.guests),
        )  # fmt: skip

    def update_status(self, communication: uuid.UUID) -> None:
        """Twenty events of one communication."""
        numbers = self.random.sample(range(1, data.PER_COMMUNICATION), 20)
        events = [
            {
                "provider": "file",
                "provider_event_id": uuid.uuid4().hex,
                "recipient_id": f"{str(communication)[:24]}{number:012x}",
                "status": "delivered",
                "occurred_at": "2026-01-01T00:00:00Z",
            }
            for number in numbers
        ]
        accepted, _, _ = self.ask(
            "SELECT * FROM public.record_delivery_events(%s, %s)", LARGEST, json.dumps(events)
        )
        assert accepted == len(events)

    def send(self, communication: uuid.UUID) -> None:
        """A hundred guests of one communication."""
        accepted = self.ask(
            "SELECT accepted FROM public.bulk_send(%s, %s, p_guest_ids => %s,"
            " p_idempotency_key => %s)",
            LARGEST, communication, self.random.sample(self.guests, 100), uuid.uuid4().hex,
        )  # fmt: skip
        assert accepted == 100

    def queued(self) -> uuid.UUID:
        """A communication that waits for a worker."""
        communication = self.new()
        self.send(communication)
        return communication

    def claim_and_complete(self, _: uuid.UUID) -> None:
        """A chunk of a hundred: the one that was just queued, or one left from before."""
        organization, batch, _, token, _, recipients = self.ask(
            "SELECT * FROM public.claim_batches('bench', 1, '60 seconds', 100)", worker=True
        )
        assert len(recipients) == 100
        results = [
            {"recipient_id": str(one), "outcome": "sent", "provider": "bench"} for one in recipients
        ]
        self.ask(
            "SELECT public.complete_batch(%s, %s, %s, %s)",
            organization, batch, token, json.dumps(results), worker=True,
        )  # fmt: skip


Step = Callable[[Level], uuid.UUID]
OPERATIONS: dict[str, tuple[Step, Callable[[Level, uuid.UUID], None]]] = {
    "recipient_query": (Level.one, Level.query_recipients),
    "status_update": (Level.one, Level.update_status),
    "bulk_send": (Level.new, Level.send),
    "claim and complete": (Level.queued, Level.claim_and_complete),
}
"""What is made ready before each call, and the call that is timed."""


def run(bench: Bench) -> list[Comparison]:
    """Fill three databases, then measure them in turns."""
    levels = [fill(bench, size) for size in (QUICK_LEVELS if bench.quick else LEVELS)]
    samples: dict[tuple[str, int], list[float]] = {}
    calls = 10 if bench.quick else CALLS
    for round_number in range(bench.rounds() + 1):
        for name in OPERATIONS:
            bench.say(f"{name}, round {round_number}")
            bench.server.execute("CHECKPOINT")
            for level, found in zip(levels, p95(levels, name, calls), strict=True):
                if round_number:  # the first round warms up
                    samples.setdefault((name, level.recipients), []).append(found)
    return [
        Comparison(
            f"{name}, {larger.recipients:,} ÷ {smaller.recipients:,} recipients",
            "ms", f"{larger.recipients:,}", f"{smaller.recipients:,}",
            samples[name, larger.recipients], samples[name, smaller.recipients], 1.2, at_most=True,
        )
        for name in OPERATIONS
        for smaller, larger in pairwise(levels)
    ]  # fmt: skip


def fill(bench: Bench, recipients: int) -> Level:
    """A database with so many recipients, those of the largest organization in the cache."""
    bench.say(f"{recipients:,} recipients …")
    database = bench.database()
    data.organizations(database)
    data.communications(database, recipients)
    with database.connect() as connection:
        for statement in WARM:
            connection.execute(statement, (LARGEST,) if b"%s" in statement else None)
    return Level(recipients, database)


def p95(levels: list[Level], name: str, calls: int) -> list[float]:
    """The P95 of the duration of a call at each level, in milliseconds."""
    prepare, call = OPERATIONS[name]
    durations: list[list[float]] = [[] for _ in levels]
    for number in range(calls):
        for index in range(len(levels))[:: -1 if number % 2 else 1]:
            argument = prepare(levels[index])
            start = time.perf_counter()
            call(levels[index], argument)
            durations[index].append((time.perf_counter() - start) * 1000)
    return [statistics.quantiles(one, n=20)[-1] for one in durations]
