"""P95 of each operation at 0.1, 1 and 10 million recipients: each step may cost at most 20 % more."""

from __future__ import annotations

import json
import random
import statistics
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from guestcomms import db

from loadtest.bench import data
from loadtest.bench.model import Bench, Comparison
from tests.db.server import Database

LEVELS = (100_000, 1_000_000, 10_000_000)
CALLS = 100
"""Calls whose P95 is one sample."""
LARGEST = "018f0000-0000-7000-8000-000000000001"
"""The organization with half of everything."""


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

    def page(self) -> None:
        """A filtered page of 50 recipients of a communication of 10,000."""
        self.app.execute(
            "SELECT * FROM public.list_recipients(%s, %s, 'sent', %s, 50)",
            (LARGEST, self.random.choice(self.communications), self.random.choice(self.guests)),
        ).fetchall()

    def events(self) -> None:
        """Twenty events of one communication."""
        communication = str(self.random.choice(self.communications))
        numbers = self.random.sample(range(1, data.PER_COMMUNICATION), 20)
        events = [
            {
                "provider": "file",
                "provider_event_id": uuid.uuid4().hex,
                "recipient_id": f"{communication[:24]}{number:012x}",
                "status": "delivered",
                "occurred_at": "2026-01-01T00:00:00Z",
            }
            for number in numbers
        ]
        self.app.execute(
            "SELECT * FROM public.record_delivery_events(%s, %s)", (LARGEST, json.dumps(events))
        ).fetchall()

    def send(self) -> None:
        """A communication to 100 guests, claimed and completed at once."""
        communication = db.one_value(
            self.app,
            "SELECT id FROM public.create_communication("
            "p_organization_id => %s, p_title => 'Bench', p_channel => 'email',"
            " p_purpose => 'wedding_updates', p_subject => 'Hello', p_body => '<p>Hello</p>',"
            " p_lawful_basis => 'contract')",
            (LARGEST,),
        )
        self.app.execute(
            "SELECT * FROM public.bulk_send(p_organization_id => %s, p_communication_id => %s,"
            " p_guest_ids => %s, p_idempotency_key => %s)",
            (LARGEST, communication, self.random.sample(self.guests, 100), uuid.uuid4().hex),
        ).fetchall()

    def claim(self) -> None:
        """One chunk of 100: claimed and completed."""


OPERATIONS: dict[str, Callable[[Level], None]] = {
    "recipient_query": Level.page,
    "status_update": Level.events,
    "bulk_send": Level.send,
}


def run(bench: Bench) -> list[Comparison]:
    """Fill three databases, then measure them in turns."""
    levels = [fill(bench, size // (100 if bench.quick else 1)) for size in LEVELS]
    samples: dict[tuple[str, int], list[float]] = {}
    for round_number in range(bench.rounds() + 1):
        for name, operation in OPERATIONS.items():
            for level in levels:
                found = p95(lambda o=operation, one=level: o(one), 10 if bench.quick else CALLS)
                if round_number:  # the first round warms up
                    samples.setdefault((name, level.recipients), []).append(found)
    return [
        Comparison(
            f"{name}, {larger.recipients:,} ÷ {smaller.recipients:,} recipients",
            "ms", f"{larger.recipients:,}", f"{smaller.recipients:,}",
            samples[name, larger.recipients], samples[name, smaller.recipients], 1.2, at_most=True,
        )
        for name in OPERATIONS
        for smaller, larger in zip(levels, levels[1:], strict=False)
    ]  # fmt: skip


def fill(bench: Bench, recipients: int) -> Level:
    """A database with so many recipients."""
    bench.say(f"{recipients:,} recipients …")
    database = bench.database()
    data.organizations(database)
    data.communications(database, recipients)
    return Level(recipients, database)


def p95(call: Callable[[], None], calls: int) -> float:
    """The P95 of the duration of a call, in milliseconds."""
    durations = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        durations.append((time.perf_counter() - start) * 1000)
    return statistics.quantiles(durations, n=20)[-1]
