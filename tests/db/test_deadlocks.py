"""Calls that change many messages wait for each other in one order: there is no 40P01."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from guestcomms import db

from tests.db import queue_calls
from tests.db.queue_calls import Claimed, claim, complete, event, queue, record
from tests.db.server import Database

ROUNDS = 15
COUNT = 300
"""Messages of a chunk: enough for two calls to meet in the middle of it."""
ONE_GUEST = """
UPDATE communication_recipients
SET guest_id = %(guest)s, address_hash = sha256('x'),
    next_attempt_at = CASE WHEN right(id::text, 6) < lpad(to_hex(%(count)s / 2), 6, '0')
        THEN now() + interval '1 hour' END
WHERE communication_id = %(message)s
"""
"""All of them to one guest, and the first half postponed: so a claim takes the second half."""
Round = Callable[[db.Connection, Claimed], None]


def fail(worker: db.Connection, claimed: Claimed) -> None:
    """First those in hand, the second half; then all who are queued, the first."""
    worker.execute(
        "SELECT fail_batch(%s, %s, %s, 'x', false)",
        (claimed.organization_id, claimed.batch_id, claimed.lease_token),
    )


def answer(worker: db.Connection, claimed: Claimed) -> None:
    """Results for the second half of those in hand; nothing is said of the others."""
    complete(worker, claimed, claimed.results()[len(claimed.recipient_ids) // 2 :])


def answer_late(worker: db.Connection, claimed: Claimed) -> None:
    """Events have overtaken the first half of those in hand."""
    early = claimed.recipient_ids[: len(claimed.recipient_ids) // 2]
    record(worker, claimed.organization_id, [event(one, "delivered") for one in early])
    complete(worker, claimed, claimed.results())


def campaign(owner: db.Connection, organization: str) -> tuple[str, str]:
    """A new guest, and a message that goes to this one so many times; returns both."""
    owner.execute("DELETE FROM suppressions")  # of the guest before, who had the same address
    owner.execute("DELETE FROM communication_batch_queue")
    guest = db.one_value(
        owner,
        "INSERT INTO guests (organization_id, name) VALUES (%s, 'Ann') RETURNING guest_id::text",
        (organization,),
    )
    message = queue(owner, organization, COUNT)
    owner.execute(ONE_GUEST.encode(), {"guest": guest, "message": message, "count": COUNT})
    return str(guest), message


@pytest.mark.parametrize("change", [fail, answer, answer_late])
@pytest.mark.parametrize("rival", ["erase_guest", "record_delivery_events"])
def test_a_worker_and_whoever_changes_the_same_messages(
    database: Database, change: Round, rival: str
) -> None:
    organization = queue_calls.organization(database)
    start = threading.Barrier(2)
    with (
        database.connect() as owner,
        database.connect("wedsync_worker") as worker,
        database.connect("wedsync_app") as app,
        ThreadPoolExecutor(1) as other,
    ):

        def interfere(guest: str, ids: list[str]) -> None:
            start.wait()
            if rival == "erase_guest":
                app.execute("SELECT erase_guest(%s, %s)", (organization, guest))
            else:
                record(app, organization, [event(one, "opened") for one in ids])

        for _ in range(ROUNDS):
            guest, message = campaign(owner, organization)
            [claimed] = claim(worker, messages=1000)
            assert len(claimed.recipient_ids) == COUNT // 2
            everybody = [f"{message[:30]}{number:06x}" for number in range(COUNT)]
            running = other.submit(interfere, guest, everybody)
            start.wait()
            change(worker, claimed)  # either raises for who was chosen to end the deadlock
            running.result()


def test_unsubscribing_beside_an_erasure(database: Database) -> None:
    """The link is in the first message, the others are queued."""
    organization = queue_calls.organization(database)
    start = threading.Barrier(2)
    with (
        database.connect() as owner,
        database.connect("wedsync_app") as app,
        database.connect("wedsync_app") as clicked,
        ThreadPoolExecutor(1) as other,
    ):

        def erase(guest: str) -> None:
            start.wait()
            app.execute("SELECT erase_guest(%s, %s)", (organization, guest))

        for _ in range(ROUNDS):
            guest, message = campaign(owner, organization)
            owner.execute(
                "UPDATE communication_recipients SET status = 'sent' WHERE id = %s", (message,)
            )
            token = db.one_value(
                owner, "SELECT internal.unsubscribe_token(%s, %s)", (organization, message)
            )
            running = other.submit(erase, guest)
            start.wait()
            clicked.execute("SELECT unsubscribe(%s)", (token,))
            running.result()
