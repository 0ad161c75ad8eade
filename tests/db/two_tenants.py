"""Two applications on two organizations send at once while workers are killed at random.

`python -m tests.db.two_tenants --guests 100000 --workers 8` runs it at full size; the test runs the
same code small. Provider events arrive shuffled and twice. Afterwards the file that the provider
wrote, an account of every attempt that the database had no part in, is held against the rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from guestcomms import db

from tests.db.server import Database, bootstrapped_server
from tests.waiting import wait_until

DICE = random.Random()  # noqa: S311 - accidents, not secrets
SECOND_LOGIN = "wedsync_second_app"
EVENTS_EACH = 1000
"""So many events go into one call."""
UNREPORTED = 0.05
"""Share of messages of which the provider never says anything: what was ambiguous stays so."""
BODY = "<p>Dear {{guest_name}}, the table is laid. <a href='{{unsubscribe_url}}'>No more</a></p>"


@dataclass(frozen=True)
class Size:
    """How big a run is."""

    guests: int = 2000
    workers: int = 4
    slice: int = 50
    lease_seconds: float = 4.0
    kills: int = 12
    send_seconds: float = 0.004
    """What the provider takes for a message."""
    timeout_seconds: float = 240.0


@dataclass
class Tenant:
    """An application and its organization."""

    organization_id: str
    login: str
    communication_id: str = ""


@dataclass
class Run:
    """What happened."""

    tenants: list[Tenant]
    sink: Path
    kills: int = 0
    fed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Event id → event, each once."""
    given: int = 0
    """Events given to the database, repetitions included."""
    seconds: dict[str, float] = field(default_factory=dict)


def run(database: Database, size: Size, folder: Path, *, seed: int = 1) -> Run:
    """Prepare, send with accidents, feed events until nothing is left to do."""
    DICE.seed(seed)
    done = Run(prepare(database, size), folder / "sink.jsonl")
    done.sink.touch()
    stopping = threading.Event()
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool, supervisor(database, size, done.sink, folder) as process:
        killer = pool.submit(kill_workers, process.pid, size, done, stopping)
        feeder = pool.submit(feed_events, database, done, stopping)
        try:
            for sender in [pool.submit(queue_all, database, tenant) for tenant in done.tenants]:
                sender.result()
            done.seconds["queued"] = time.monotonic() - started
            wait_until(lambda: queue_is_empty(database), size.timeout_seconds, poll_seconds=0.3)
            done.seconds["sent"] = time.monotonic() - started
        finally:
            stopping.set()
        killer.result()
        feeder.result()
        done.seconds["events"] = time.monotonic() - started
    return done


def prepare(database: Database, size: Size) -> list[Tenant]:
    """Two organizations with their guests and a communication each."""
    server = database.server
    server.execute(
        f"DO $$ BEGIN CREATE ROLE {SECOND_LOGIN} LOGIN IN ROLE comms_app;"
        " EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    server.execute(f"GRANT CONNECT ON DATABASE {database.name} TO {SECOND_LOGIN}")
    database.execute(
        "SELECT set_login_unrestricted('wedsync_worker', true, 'sends')", "wedsync_ops"
    )
    tenants = []
    for login in ("wedsync_app", SECOND_LOGIN):
        organization = database.value(
            f"SELECT (create_organization(NULL, '{login}', 'UTC', ARRAY['{login}']::name[]))"
            ".organization_id::text",
            "wedsync_ops",
        )
        tenants.append(Tenant(str(organization), login))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda tenant: make_guests(database, tenant, size.guests), tenants))
    return tenants


def make_guests(database: Database, tenant: Tenant, count: int) -> None:
    with database.connect(tenant.login) as connection:
        for first in range(0, count, 1000):
            guests = [
                {
                    "external_id": f"{number}",
                    "name": f"Guest {number}",
                    "email": f"g{number}@{tenant.login.replace('_', '-')}.example.org",
                }
                for number in range(first, min(first + 1000, count))
            ]
            connection.execute(
                "SELECT count(*) FROM public.upsert_guests(%s, %s::jsonb)",
                (tenant.organization_id, json.dumps(guests)),
            )
        tenant.communication_id = str(
            db.one_value(
                connection,
                "SELECT made.id::text"
                " FROM public.create_communication(%s, 'Dinner', 'email', 'invitation',"
                " p_subject => 'For {{guest_name}}', p_body => %s, p_body_text => 'Dinner',"
                " p_sender_name => 'We', p_sender_address => 'we@example.org',"
                " p_unsubscribe_url => 'https://example.org/u') AS made",
                (tenant.organization_id, BODY),
            )
        )


def queue_all(database: Database, tenant: Tenant) -> None:
    """What an application does: queue its guests in several calls while workers already send."""
    with database.connect(tenant.login) as connection:
        with connection.transaction():
            connection.execute("SELECT public.enter_tenant(%s)", (tenant.organization_id,))
            found = connection.execute("SELECT guest_id FROM public.guests").fetchall()
        guests = [row[0] for row in found]
        step = max(1000, len(guests) // 10)
        for first in range(0, len(guests), step):
            connection.execute(
                "SELECT * FROM public.bulk_send(%s, %s, p_guest_ids => %s,"
                " p_idempotency_key => %s)",
                (
                    tenant.organization_id,
                    tenant.communication_id,
                    guests[first : first + step],
                    f"{tenant.communication_id}-{first}",
                ),
            )


@contextmanager
def supervisor(
    database: Database, size: Size, sink: Path, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The real program with its worker processes; ends gracefully, which is part of the proof."""
    command = [sys.executable, "-m", "guestcomms.cli", "worker", "run"]
    options = {
        "--provider": f"file:{sink}?content=no&delay={size.send_seconds}",
        "--processes": str(size.workers),
        "--slice": str(size.slice),
        "--lease": str(size.lease_seconds),
        "--poll": "0.2",
        "--metrics-file": str(folder / "worker.prom"),
    }
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *(word for option in options.items() for word in option)],
            env={**os.environ, "GUESTCOMMS_DSN": database.dsn("wedsync_worker")},
            stderr=log,
        )
        try:
            yield process
            process.terminate()
            assert process.wait(60) == 0, (folder / "worker.log").read_text()
        finally:
            process.kill()
            process.wait()


def kill_workers(supervisor_pid: int, size: Size, done: Run, stopping: threading.Event) -> None:
    """Kill one of the supervisor's workers now and then, as an operating system out of memory."""
    children = Path(f"/proc/{supervisor_pid}/task/{supervisor_pid}/children")
    moments = sorted(DICE.randrange(2 * size.guests) for _ in range(size.kills))
    while moments and not stopping.wait(0.02):
        pids = children.read_text().split()
        if pids and attempts_in(done.sink) >= moments[0]:
            del moments[0]
            with suppress(ProcessLookupError):  # it has just been killed
                os.kill(int(DICE.choice(pids)), signal.SIGKILL)
                done.kills += 1


def attempts_in(sink: Path) -> int:
    """About how many attempts there were: lines are of about the same length."""
    with sink.open("rb") as file:
        return sink.stat().st_size // max(1, len(file.readline()))


def feed_events(database: Database, done: Run, stopping: threading.Event) -> None:
    """Report on what the provider has seen: in any order, much of it twice."""
    waiting: dict[str, list[dict[str, Any]]] = {one.organization_id: [] for one in done.tenants}
    with database.connect("wedsync_worker") as connection, done.sink.open() as sink:
        begun = ""  # a line of which the worker has written the beginning
        while True:
            last = stopping.is_set()
            for part in iter(sink.readline, ""):
                begun += part
                if not begun.endswith("\n"):
                    continue
                attempt, begun = json.loads(begun), ""
                new = events_of(attempt)
                done.fed |= {event["provider_event_id"]: event for event in new}
                again = [event for event in new if DICE.random() < 0.3]
                waiting[attempt["organization_id"]] += new + again
            for organization, events in waiting.items():
                DICE.shuffle(events)
                while len(events) > (0 if last else EVENTS_EACH):
                    connection.execute(
                        "SELECT public.record_delivery_events(%s, %s::jsonb)",
                        (organization, json.dumps(events[:EVENTS_EACH])),
                    )
                    done.given += len(events[:EVENTS_EACH])
                    del events[:EVENTS_EACH]
            if last:
                return
            stopping.wait(0.2)


def events_of(attempt: dict[str, Any]) -> list[dict[str, Any]]:
    """What a provider would report on a message."""
    if DICE.random() < UNREPORTED:
        return []
    drawn = DICE.random()
    kinds = ["bounced"] if drawn < 0.02 else ["delivered"]
    kinds += ["opened"] if 0.02 < drawn < 0.5 else []
    kinds += ["clicked"] if 0.02 < drawn < 0.2 else []
    kinds += ["complained"] if 0.02 < drawn < 0.025 else []
    return [
        {
            "recipient_id": attempt["recipient_id"],
            "provider": "file",
            "provider_event_id": f"{attempt['recipient_id']}:{kind}",
            "status": kind,
            "occurred_at": attempt["at"],
        }
        for kind in kinds
    ]


def queue_is_empty(database: Database) -> bool:
    query = "SELECT count(*) FROM communication_batch_queue WHERE operation_type = 'send'"
    return database.value(query) == 0


STATES = """
SELECT status, error_code, count(*)::int AS count FROM communication_recipients
WHERE organization_id = %s AND communication_id = %s GROUP BY status, error_code
"""


def violations(database: Database, done: Run, guests: int) -> list[str]:
    """Everything that should not be; an empty list is the proof."""
    attempts = [json.loads(line) for line in done.sink.read_text().splitlines()]
    times = Counter(attempt["recipient_id"] for attempt in attempts)
    wrong = [f"{number} attempts for {one}" for one, number in times.items() if number > 1]
    everybody: dict[str, str] = {}
    with database.connect() as connection:
        for tenant in done.tenants:
            rows = db.rows(
                connection,
                "SELECT id::text, organization_id::text, status, error_code"
                " FROM communication_recipients WHERE organization_id = %s",
                (tenant.organization_id,),
            )
            if len(rows) != guests:
                wrong.append(f"{tenant.login}: {len(rows)} recipients instead of {guests}")
            everybody |= {row["id"]: row["organization_id"] for row in rows}
            wrong += misplaced(rows, times)
            wrong += miscounted(connection, database, tenant, rows)
            wrong += dead_letters_unaccounted(connection, tenant, rows)
        wrong += misreported(connection, done)
    wrong += [
        f"{attempt['recipient_id']} was sent for {attempt['organization_id']}"
        for attempt in attempts
        if everybody.get(attempt["recipient_id"]) != attempt["organization_id"]
    ]
    return wrong + seen_by_the_other(database, done)


def misplaced(rows: list[dict[str, Any]], times: Counter[str]) -> list[str]:
    """Who has another number of attempts than his state says."""
    wrong = []
    for row in rows:
        number, status = times[row["id"]], row["status"]
        if status in {"queued", "sending"}:
            wrong.append(f"{row['id']} is still {status}")
        elif status == "failed" and number:
            wrong.append(f"{row['id']} failed ({row['error_code']}) but was sent")
        elif status not in {"unknown", "failed"} and number != 1:
            wrong.append(f"{row['id']} is {status} after {number} attempts")
    return wrong


def miscounted(
    connection: db.Connection, database: Database, tenant: Tenant, rows: list[dict[str, Any]]
) -> list[str]:
    """Counters that differ from the rows, before and after the roll-up."""
    counted = Counter(row["status"] for row in rows)
    counted["total"] = len(rows)
    with database.connect(tenant.login) as own:
        told = progress(own, tenant)
    connection.execute("SELECT internal.roll_up_counters()")
    [columns] = db.rows(
        connection,
        "SELECT to_jsonb(c) AS columns FROM guest_communications AS c WHERE organization_id = %s"
        " AND id = %s",
        (tenant.organization_id, tenant.communication_id),
    )
    kept = {
        name.removesuffix("_count"): number
        for name, number in columns["columns"].items()
        if name.endswith("_count") and number
    } | {"total": columns["columns"]["total_recipients"]}
    return [
        f"{tenant.login}: {name} are {dict(found)} but the rows say {dict(counted)}"
        for name, found in (("progress", told), ("columns", kept))
        if found != counted
    ]


def progress(own: db.Connection, tenant: Tenant) -> dict[str, int]:
    [told] = db.rows(
        own,
        "SELECT to_jsonb(p) AS told FROM public.communication_progress(%s, %s) AS p",
        (tenant.organization_id, tenant.communication_id),
    )
    return {
        name: number for name, number in told["told"].items() if isinstance(number, int) and number
    }


def dead_letters_unaccounted(
    connection: db.Connection, tenant: Tenant, rows: list[dict[str, Any]]
) -> list[str]:
    buried = db.one_value(
        connection,
        "SELECT coalesce(sum(recipients), 0)::int FROM communication_dead_letters"
        " WHERE organization_id = %s",
        (tenant.organization_id,),
    )
    failed = sum(row["error_code"] == "dead_letter" for row in rows)
    return [] if buried == failed else [f"{buried} in dead letters, {failed} recipients say so"]


def misreported(connection: db.Connection, done: Run) -> list[str]:
    """Events that are not kept once each, and addresses that should be suppressed."""
    kept = db.one_value(connection, "SELECT count(*) FROM delivery_status")
    lost = db.one_value(connection, "SELECT count(*) FROM internal.unmatched_delivery_events")
    silenced = db.one_value(connection, "SELECT count(*) FROM suppressions")
    expected = {
        event["recipient_id"]
        for event in done.fed.values()
        if event["status"] in {"bounced", "complained"}
    }
    wrong = [] if kept == len(done.fed) else [f"{kept} events kept of {len(done.fed)}"]
    wrong += [f"{lost} events unmatched"] if lost else []
    if silenced != len(expected):
        wrong.append(f"{silenced} suppressions for {len(expected)} bounces and complaints")
    return wrong


def seen_by_the_other(database: Database, done: Run) -> list[str]:
    """Rows of a tenant that the other one's login gets to see, by any of the ways there are."""
    wrong = []
    for mine, other in (done.tenants, reversed(done.tenants)):
        with database.connect(mine.login) as connection:
            try:
                connection.execute(
                    "SELECT * FROM public.list_recipients(%s, %s)",
                    (other.organization_id, other.communication_id),
                )
                wrong.append(f"{mine.login} may list the recipients of {other.login}")
            except db.DatabaseError as error:
                if error.sqlstate != "GC001":
                    raise
            own = all_pages(connection, mine)
            foreign = sum(row["recipient_email"].split("@")[1] != own_domain(mine) for row in own)
            with connection.transaction():
                connection.execute("SELECT public.enter_tenant(%s)", (mine.organization_id,))
                count = "SELECT count(*) FROM communication_recipients"
                visible = db.one_value(connection, count.encode())
            if foreign or visible != len(own):
                wrong.append(
                    f"{mine.login} sees {visible} rows, lists {len(own)}, {foreign} foreign"
                )
    return wrong


def all_pages(connection: db.Connection, tenant: Tenant) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    last = None
    while True:
        page = db.rows(
            connection,
            "SELECT * FROM public.list_recipients(%s, %s, p_after => %s, p_limit => 500)",
            (tenant.organization_id, tenant.communication_id, last),
        )
        if not page:
            return found
        found += page
        last = page[-1]["recipient_key"]


def own_domain(tenant: Tenant) -> str:
    return f"{tenant.login.replace('_', '-')}.example.org"


def figures(database: Database, done: Run) -> dict[str, Any]:
    """What a person wants to know of a run."""
    attempts = Counter(
        json.loads(line)["recipient_id"] for line in done.sink.read_text().splitlines()
    )
    states: Counter[str] = Counter()
    ambiguous: Counter[str] = Counter()
    with database.connect() as connection:
        for row in db.rows(connection, "SELECT id::text, status FROM communication_recipients"):
            states[row["status"]] += 1
            if row["status"] == "unknown":
                ambiguous["sent" if row["id"] in attempts else "not sent"] += 1
        dead = db.one_value(connection, "SELECT count(*) FROM communication_dead_letters")
    return {
        "attempts": sum(attempts.values()),
        "recipients_attempted": len(attempts),
        "most_attempts_for_one": max(attempts.values()),
        "workers_killed": done.kills,
        "states": dict(states.most_common()),
        "unknown_were_in_truth": dict(ambiguous),
        "dead_letters": dead,
        "events_given": done.given,
        "events_distinct": len(done.fed),
        "seconds": {name: round(seconds, 1) for name, seconds in done.seconds.items()},
        "messages_per_second": round(len(attempts) / done.seconds["sent"]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, value in asdict(
        Size(guests=100_000, workers=8, slice=200, timeout_seconds=3600)
    ).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    size = Size(**vars(parser.parse_args()))
    with bootstrapped_server() as server, tempfile.TemporaryDirectory() as folder:
        database = server.clone("template_full", "two_tenants")
        done = run(database, size, Path(folder))
        wrong = violations(database, done, size.guests)
        print(json.dumps({**figures(database, done), "violations": wrong[:20]}, indent=2))  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
