"""Everything at once on few guests: who locks in another order than the rest meets a deadlock here.

`python -m tests.db.stress --seconds 60` runs a dozen sessions, each repeating one kind of call, and
says how often each ended how. Afterwards counters have to say what the rows say.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from guestcomms import db

from tests.db import queue_calls
from tests.db.server import Database, bootstrapped_server

GUESTS = 60
KINDS = ["delivered", "opened", "clicked", "deferred"] * 50 + ["bounced"]
"""Rarely what suppresses: soon nothing would be left to send."""
EXPECTED = {"GC361", "GC347", "GC407", "GC364"}
"""The lease ended, it is sent or cancelled, the message is anonymous, another redrove it."""
MISCOUNTED = """
WITH truth AS (
    SELECT organization_id, communication_id, status, count(*) AS number
    FROM communication_recipients GROUP BY 1, 2, 3
), told AS (
    SELECT message.organization_id, message.id AS communication_id,
        replace(counter.key, '_count', '') AS status, counter.value::bigint AS number
    FROM guest_communications AS message
    CROSS JOIN jsonb_each_text(to_jsonb(message)) AS counter
    WHERE counter.key LIKE '%\\_count' AND counter.value::bigint <> 0
)
SELECT communication_id::text, status, truth.number AS rows, told.number AS counter
FROM truth FULL JOIN told USING (organization_id, communication_id, status)
WHERE truth.number IS DISTINCT FROM told.number
"""
SENT_AFTER_CANCEL = """
SELECT count(*) FROM communication_recipients WHERE communication_id = %s AND sending_at > %s
"""


class Stress:
    """Sessions that repeat a call until time is up."""

    def __init__(self, database: Database, organization: str, seconds: float) -> None:
        self.database, self.organization = database, organization
        self.deadline = time.monotonic() + seconds
        self.ends: dict[str, Counter[str]] = {}
        self.wrong: list[str] = []
        self.cancelled: dict[str, object] = {}
        """Communication → the moment by which its cancellation had been committed."""

    def session(
        self, login: str, name: str, step: Callable[[db.Connection, random.Random], None]
    ) -> threading.Thread:
        """A thread that repeats `step`."""
        ends = self.ends.setdefault(name, Counter())
        dice = random.Random(f"{name} {len(self.ends)}")  # noqa: S311 - no secret

        def work() -> None:
            with self.database.connect(login) as connection:
                while time.monotonic() < self.deadline:
                    try:
                        step(connection, dice)
                        ends["done"] += 1
                    except db.DatabaseError as error:
                        ends[str(error.sqlstate)] += 1
                        if error.sqlstate not in EXPECTED and len(self.wrong) < 20:
                            self.wrong.append(f"{name}: {error.sqlstate} {error}"[:1500])

        return threading.Thread(target=work, name=name)

    def ask(self, connection: db.Connection, query: str, *values: object) -> list[dict[str, Any]]:
        return db.rows(connection, query, (self.organization, *values))

    def some(self, connection: db.Connection, query: str) -> list[str]:
        """Ids of the organization, entered for this one statement."""
        with connection.transaction():
            connection.execute("SELECT public.enter_tenant(%s)", (self.organization,))
            return [str(row[0]) for row in connection.execute(query.encode()).fetchall()]

    def send(self, app: db.Connection, dice: random.Random) -> None:
        [made] = self.ask(
            app,
            "SELECT id FROM public.create_communication(%s, 'T', 'email', 'news', p_subject => 's',"
            " p_body => 'b', p_body_text => 'b', p_lawful_basis => %s)",
            dice.choice(["contract", "consent"]),
        )
        self.ask(app, "SELECT * FROM public.bulk_send(%s, %s, p_all_guests => true)", made["id"])
        time.sleep(0.02)

    def work(self, worker: db.Connection, dice: random.Random) -> None:
        batches = queue_calls.claim(worker, 2, dice.choice([5, 20, 100]))
        time.sleep(0 if batches else 0.02)
        for claimed in batches:
            fate = dice.random()
            if fate < 0.1:
                self.ask(
                    worker,
                    "SELECT public.fail_batch(%s, %s, %s, 'x', %s)",
                    claimed.batch_id,
                    claimed.lease_token,
                    fate < 0.05,
                )
            elif fate < 0.95:  # else it is silent
                outcome = dice.choice(["sent", "sent", "temporary", "permanent", "not_attempted"])
                results = claimed.results(outcome)
                dice.shuffle(results)
                queue_calls.complete(worker, claimed, results)

    def report(self, worker: db.Connection, dice: random.Random) -> None:
        ids = db.rows(
            self.owner,
            "SELECT id::text FROM communication_recipients ORDER BY random() LIMIT 30",
        )
        events = [queue_calls.event(row["id"], dice.choice(KINDS)) for row in ids]
        self.ask(
            worker,
            "SELECT * FROM public.record_delivery_events(%s, %s::jsonb)",
            json.dumps(events),
        )

    def cancel(self, app: db.Connection, dice: random.Random) -> None:
        found = self.some(app, "SELECT id FROM guest_communications ORDER BY id DESC LIMIT 3")
        if found and dice.random() < 0.5:
            one = dice.choice(found)
            self.ask(app, "SELECT public.cancel_communication(%s, %s)", one)
            moment = db.one_value(app, b"SELECT clock_timestamp()")
            self.cancelled.setdefault(one, moment)
        elif found:
            self.ask(app, "SELECT public.schedule_communication(%s, %s, now())", dice.choice(found))
        time.sleep(0.5)

    def consent(self, app: db.Connection, dice: random.Random) -> None:
        address = f"g{dice.randrange(10 * GUESTS)}@example.com"
        if dice.random() < 0.5:
            self.ask(app, "SELECT * FROM public.withdraw_consent(%s, %s, 'email', 'news')", address)
        else:
            self.ask(
                app,
                "SELECT public.record_consent(%s, %s, 'email', 'news', 'v1', 'form')",
                address,
            )

    def unsubscribe(self, app: db.Connection, dice: random.Random) -> None:
        del dice
        [row] = db.rows(
            self.owner,
            "SELECT internal.unsubscribe_token(organization_id, id) AS token"
            " FROM communication_recipients ORDER BY random() LIMIT 1",
        ) or [{"token": "x"}]
        app.execute("SELECT * FROM public.unsubscribe(%s)", (row["token"],))
        time.sleep(0.05)

    def erase(self, app: db.Connection, dice: random.Random) -> None:
        guests = self.some(app, "SELECT guest_id FROM guests ORDER BY random() LIMIT 1")
        self.ask(app, "SELECT * FROM public.erase_guest(%s, %s)", guests[0])
        time.sleep(dice.random() / 5)

    def upsert(self, app: db.Connection, dice: random.Random) -> None:
        given = [
            {
                "external_id": f"{number}-{dice.randrange(40)}",
                "name": "Ann",
                "email": f"g{dice.randrange(10 * GUESTS)}@example.com",
            }
            for number in dice.sample(range(GUESTS), 10)
        ]
        self.ask(app, "SELECT * FROM public.upsert_guests(%s, %s::jsonb)", json.dumps(given))
        time.sleep(0.2)

    def tend(self, owner: db.Connection, dice: random.Random) -> None:
        owner.execute(
            dice.choice(
                [
                    b"SELECT internal.roll_up_counters()",
                    b"SELECT internal.match_delivery_events()",
                    b"SELECT internal.tend_queue()",
                ]
            )
        )
        time.sleep(0.01)

    def redrive(self, ops: db.Connection, dice: random.Random) -> None:
        if dice.random() < 0.5:
            self.ask(ops, "SELECT public.redrive_dead_letters(%s)")
        else:
            for row in db.rows(
                ops,
                "SELECT DISTINCT communication_id FROM communication_recipients"
                " WHERE status = 'unknown' LIMIT 2",
            ):
                self.ask(
                    ops,
                    "SELECT public.resolve_unknown(%s, %s, 'failed', 'x')",
                    row["communication_id"],
                )
        time.sleep(0.1)

    def run(self, without: str) -> None:
        """All at once, but for one kind."""
        app, worker = "wedsync_app", "wedsync_worker"
        plan = [
            (app, "send", self.send),
            (worker, "work", self.work),
            (worker, "work", self.work),
            (worker, "report", self.report),
            (worker, "report", self.report),
            (app, "cancel", self.cancel),
            (app, "consent", self.consent),
            (app, "unsubscribe", self.unsubscribe),
            (app, "erase", self.erase),
            (app, "upsert", self.upsert),
            ("postgres", "tend", self.tend),
            ("wedsync_ops", "redrive", self.redrive),
        ]
        with self.database.connect() as self.owner:
            threads = [self.session(*one) for one in plan if one[1] != without]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            while db.one_value(self.owner, b"SELECT internal.roll_up_counters()"):
                pass
            self.wrong += [f"miscounted: {row}" for row in db.rows(self.owner, MISCOUNTED)][:5]
            for one, moment in self.cancelled.items():
                late = db.one_value(self.owner, SENT_AFTER_CANCEL.encode(), (one, moment))
                self.wrong += [f"{late} handed out after {one} was cancelled"] if late else []


def run(database: Database, seconds: float, without: str = "") -> Stress:
    """A new organization, its guests, and everything at once."""
    organization = queue_calls.organization(database)
    with database.connect("wedsync_app") as app:
        app.execute("SELECT public.create_consent_text(%s, 'v1', 'x')", (organization,))
        guests = [
            {"external_id": f"{n}-0", "name": "Ann", "email": f"g{n // 2}@example.com"}
            for n in range(GUESTS)
        ]
        app.execute(
            "SELECT * FROM public.upsert_guests(%s, %s::jsonb)", (organization, json.dumps(guests))
        )
    stress = Stress(database, organization, seconds)
    stress.run(without)
    return stress


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60)
    seconds = parser.parse_args().seconds
    with bootstrapped_server({"deadlock_timeout": "200ms"}) as server:
        stress = run(server.clone("template_full", "stress"), seconds)
    print(json.dumps({"ends": stress.ends, "wrong": stress.wrong}, indent=2))  # noqa: T201
    return 1 if stress.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
