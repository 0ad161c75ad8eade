"""Sending and events against a small model: in whatever order, the states agree."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from guestcomms import db
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.db import queue_calls
from tests.db.queue_calls import Claimed
from tests.db.server import Database

RANKS = {
    "queued": 0, "sending": 10, "unknown": 15, "sent": 20, "deferred": 25, "delivered": 30,
    "opened": 40, "clicked": 50, "failed": 60, "bounced": 70, "complained": 80,
}  # fmt: skip
REPORTED = ["sent", "deferred", "delivered", "opened", "clicked", "failed", "bounced", "complained"]
AFTER = {
    "sent": "sent", "temporary": "queued", "permanent": "failed", "unknown": "unknown",
    "not_attempted": "queued",
}  # fmt: skip
RECIPIENTS = 6


class LifeCycle(RuleBasedStateMachine):
    """Six recipients in chunks of three; the model is a dictionary of their states."""

    database: Database
    owner: db.Connection
    worker: db.Connection
    organization: str

    @initialize()
    def a_message(self) -> None:
        self.owner.execute("DELETE FROM communication_batch_queue")
        self.owner.execute("DELETE FROM suppressions")
        self.message = queue_calls.queue(self.owner, self.organization, RECIPIENTS, chunk=3)
        self.ids = [f"{self.message[:30]}{number:06x}" for number in range(RECIPIENTS)]
        self.model = dict.fromkeys(self.ids, "queued")
        self.leases: list[Claimed] = []
        self.lost: list[Claimed] = []
        self.reported: list[dict[str, Any]] = []
        self.numbers = itertools.count()

    @rule(size=st.integers(1, 3), batches=st.integers(1, 2))
    def claim(self, size: int, batches: int) -> None:
        self.owner.execute("UPDATE communication_recipients SET next_attempt_at = NULL")
        self.owner.execute("UPDATE communication_batch_queue SET run_at = now()"
                           " WHERE state = 'scheduled'")  # fmt: skip
        for claimed in queue_calls.claim(self.worker, batches, size):
            assert 1 <= len(claimed.recipient_ids) <= size
            for one in claimed.recipient_ids:
                assert self.model[one] == "queued"
                self.model[one] = "sending"
            self.leases.append(claimed)

    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        if not self.leases:
            return
        claimed = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        results = []
        for one in claimed.recipient_ids:
            outcome = data.draw(st.sampled_from([*AFTER, "missing"]))
            if outcome != "missing":
                results.append({"recipient_id": one, "outcome": outcome, "provider": "smtp"})
            if self.model[one] == "sending":
                self.model[one] = AFTER.get(outcome, "unknown")
        queue_calls.complete(self.worker, claimed, results)

    @rule(data=st.data())
    def lose_a_lease(self, data: st.DataObject) -> None:
        if not self.leases:
            return
        claimed = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        self.owner.execute(
            "UPDATE communication_batch_queue SET attempts = 0,"
            " lease_until = now() - interval '1 s' WHERE batch_id = %s",
            (claimed.batch_id,),
        )
        self.owner.execute("SELECT internal.reap_leases()")
        for one in claimed.recipient_ids:
            if self.model[one] == "sending":
                self.model[one] = "unknown"
        self.lost.append(claimed)

    @rule()
    def answer_too_late(self) -> None:
        for claimed in self.lost:
            with pytest.raises(db.DatabaseError) as refusal:
                queue_calls.complete(self.worker, claimed, claimed.results())
            assert refusal.value.sqlstate == "GC361"

    @rule(
        which=st.lists(
            st.tuples(st.integers(0, RECIPIENTS - 1), st.sampled_from(REPORTED)),
            min_size=1, max_size=5,
        ),
    )  # fmt: skip
    def report(self, which: list[tuple[int, str]]) -> None:
        events = [queue_calls.event(self.ids[number], status) for number, status in which]
        assert queue_calls.record(self.worker, self.organization, events) == (len(events), 0, 0)
        self.reported += events
        for number, status in which:
            old = self.model[self.ids[number]]
            self.model[self.ids[number]] = max(old, status, key=RANKS.__getitem__)
        # What bounced is not part of this model: the next message would be suppressed.
        self.owner.execute("DELETE FROM suppressions")

    @rule()
    def report_everything_again(self) -> None:
        again = queue_calls.record(self.worker, self.organization, self.reported)
        assert again == (0, len(self.reported), 0)

    @rule(action=st.sampled_from(["sent", "failed", "queue_again"]))
    def resolve(self, action: str) -> None:
        self.owner.execute(
            "SELECT resolve_unknown(%s, %s, %s, 'x')", (self.organization, self.message, action)
        )
        for one, state in self.model.items():
            if state == "unknown":
                self.model[one] = "queued" if action == "queue_again" else action

    @rule()
    def roll_up(self) -> None:
        self.owner.execute("SELECT internal.roll_up_counters()")

    @invariant()
    def states_and_counters_agree_with_the_model(self) -> None:
        if not hasattr(self, "message"):
            return
        rows = db.rows(
            self.owner,
            "SELECT id::text, status FROM communication_recipients WHERE communication_id = %s",
            (self.message,),
        )
        assert {row["id"]: row["status"] for row in rows} == self.model
        assert queue_calls.counters(self.owner, self.message) == Counter(self.model.values())

    @invariant()
    def whoever_is_queued_is_in_a_chunk(self) -> None:
        if not hasattr(self, "message"):
            return
        assert db.rows(
            self.owner,
            "SELECT recipient.id FROM communication_recipients AS recipient"
            " WHERE communication_id = %s AND status = 'queued' AND NOT EXISTS ("
            " SELECT FROM communication_batch_queue AS chunk"
            " WHERE recipient.id BETWEEN chunk.first_recipient_id AND chunk.last_recipient_id)",
            (self.message,),
        ) == []  # fmt: skip


@pytest.fixture
def connections(database: Database) -> Iterator[type[LifeCycle]]:
    organization = queue_calls.organization(database)
    with database.connect() as owner, database.connect("wedsync_worker") as worker:
        yield type(
            "Prepared", (LifeCycle,),
            {"database": database, "owner": owner, "worker": worker, "organization": organization},
        )  # fmt: skip


def test_any_life_agrees_with_the_model(connections: type[LifeCycle]) -> None:
    connections.TestCase.settings = settings(
        max_examples=25, stateful_step_count=25, deadline=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    connections.TestCase().runTest()
