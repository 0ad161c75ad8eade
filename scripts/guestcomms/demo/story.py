"""The steps of the demonstration. A second run finds what the first one made."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from guestcomms import db
from guestcomms.demo.people import guests
from guestcomms.demo.templates import ORGANIZATIONS, Organization
from guestcomms.errors import RefusedError
from guestcomms.worker.file_sink import FileSink
from guestcomms.worker.loop import Settings, Worker
from guestcomms.worker.metrics import Metrics
from guestcomms.worker.queue import Queue
from guestcomms.worker.stop import Stop

PAGE = 12
"""So many recipients are shown."""


@dataclass(frozen=True)
class Ways:
    """Connection strings of the three programs that the demonstration plays."""

    app: str
    worker: str
    ops: str


@dataclass(frozen=True)
class Shown:
    """What one organization's run led to."""

    organization: Organization
    progress: Mapping[str, int]
    recipients: Sequence[Mapping[str, Any]]
    suppressions: Mapping[str, int]
    page: Path | None
    """A message as its recipient sees it."""


def prepare(ways: Ways) -> None:
    """Make the organizations and let the logins in.

    Raises `RefusedError` where messages of others wait: our worker would write them into a file.
    """
    ours = [organization.organization_id for organization in ORGANIZATIONS]
    with _connect(ways.ops) as connection:
        foreign = db.one_value(
            connection,
            "SELECT count(*) FROM public.communication_batch_queue"
            " WHERE operation_type = 'send' AND organization_id <> ALL (%s::uuid[])",
            (ours,),
        )
        if foreign:
            raise RefusedError(
                f"{foreign} chunks of other organizations wait in the queue, and the worker of the"
                " demonstration would write them into a file instead of sending them; let them be"
                " sent first, or take another stack."
            )
        app, worker = _login(ways.app), _login(ways.worker)
        for one in ORGANIZATIONS:
            connection.execute(
                "SELECT public.create_organization(%s, %s, %s, ARRAY[%s]::name[])",
                (one.organization_id, one.name, one.time_zone, app),
            )
        connection.execute(
            "SELECT public.set_login_unrestricted(%s, true, 'sends for every organization')",
            (worker,),
        )


def queue(ways: Ways, one: Organization) -> str:
    """Make all that an organization needs for a campaign; returns the communication."""
    with _connect(ways.app) as connection:
        made = db.rows(
            connection,
            "SELECT made.guest_id::text AS guest_id"
            " FROM public.upsert_guests(%s, %s::jsonb) AS made ORDER BY made.place",
            (one.organization_id, json.dumps(guests(one.key, one.guests))),
        )
        template = db.one_value(
            connection,
            "SELECT made.template_id"
            " FROM public.create_template(%s, %s, 'email', %s, %s, %s) AS made",
            (one.organization_id, one.template, one.subject, one.body, one.text),
        )
        connection.execute(
            "SELECT public.publish_template(%s, %s)", (one.organization_id, template)
        )
        communication = db.one_value(
            connection,
            "SELECT made.id::text FROM public.create_communication(%s, %s, 'email', 'wedding',"
            " p_template_id => %s, p_sender_name => %s, p_sender_address => %s,"
            " p_unsubscribe_url => %s, p_idempotency_key => 'demo') AS made",
            (
                *(one.organization_id, one.title, template, one.sender_name, one.sender_address),
                f"{one.rsvp_url}/unsubscribe",
            ),
        )
        recipients = [
            {
                "guest_id": guest["guest_id"],
                "personalisation": {"rsvp_url": one.rsvp_url, "table": str(1 + number // 10)},
            }
            for number, guest in enumerate(made)
        ]
        connection.execute(
            "SELECT public.bulk_send(%s, %s, p_recipients => %s::jsonb,"
            " p_idempotency_key => 'demo-recipients')",
            (one.organization_id, communication, json.dumps(recipients)),
        )
    return str(communication)


def send(ways: Ways, sink: Path) -> Mapping[str, int]:
    """Work as a worker does, in this process, until nothing is due."""
    session = db.Session(ways.worker, application_name="guestcomms demo")
    try:
        provider = FileSink(sink)
        routes = dict.fromkeys(provider.channels, provider)
        settings = Settings(once=True)
        return Worker(Queue(session, "demo"), routes, settings, Metrics(None, "demo"), Stop()).run()
    finally:
        session.close()


def report_events(ways: Ways, sink: Path) -> int:
    """Tell what a provider would: shuffled, and every third event twice. Returns how many."""
    dice = random.Random(2027)  # noqa: S311 - the same events in every run
    lines, count = _lines(sink), 0
    with _connect(ways.worker) as connection:
        for one in ORGANIZATIONS:
            own = [line for line in lines if line["organization_id"] == one.organization_id]
            events = [event for line in own for event in _events(line, dice)]
            given = events + events[::3]
            dice.shuffle(given)
            count += len(given)
            for first in range(0, len(given), 1000):
                connection.execute(
                    "SELECT public.record_delivery_events(%s, %s::jsonb)",
                    (one.organization_id, json.dumps(given[first : first + 1000])),
                )
    return count


def show(ways: Ways, one: Organization, communication: str, sink: Path) -> Shown:
    """What the organization sees now."""
    with _connect(ways.app) as connection:
        [progress] = db.rows(
            connection,
            "SELECT * FROM public.communication_progress(%s, %s)",
            (one.organization_id, communication),
        )
        recipients = db.rows(
            connection,
            "SELECT * FROM public.list_recipients(%s, %s, p_limit => %s)",
            (one.organization_id, communication, PAGE),
        )
        with connection.transaction():
            connection.execute("SELECT public.enter_tenant(%s)", (one.organization_id,))
            suppressions = db.rows(
                connection,
                "SELECT s.reason, count(*) AS count FROM public.suppressions AS s"
                " GROUP BY s.reason ORDER BY s.reason",
            )
    return Shown(
        one,
        {state: number for state, number in progress.items() if isinstance(number, int)},
        recipients,
        {row["reason"]: row["count"] for row in suppressions},
        _page(one, sink),
    )


def _page(one: Organization, sink: Path) -> Path | None:
    """The first message of an organization as a file for a browser."""
    for line in _lines(sink):
        if line["organization_id"] == one.organization_id:
            file = sink.with_name(f"{one.key}.html")
            file.write_text(line["body"], encoding="utf-8")
            return file
    return None


def _events(line: Mapping[str, Any], dice: random.Random) -> list[dict[str, Any]]:
    drawn, sent = dice.random(), datetime.fromisoformat(line["at"])
    if drawn < 0.03:
        kinds = ["bounced"]
    else:
        kinds = ["delivered"]
        kinds += ["opened"] if drawn < 0.6 else []
        kinds += ["clicked"] if drawn < 0.25 else []
        kinds += ["complained"] if drawn < 0.04 else []
    return [
        {
            "recipient_id": line["recipient_id"],
            "provider": FileSink.name,
            "provider_event_id": f"{line['recipient_id']}:{kind}",
            "status": kind,
            "occurred_at": (sent + timedelta(seconds=minute)).isoformat(),
        }
        for minute, kind in enumerate(kinds, 1)
    ]


def _lines(sink: Path) -> list[dict[str, Any]]:
    if not sink.exists():
        return []
    return [json.loads(line) for line in sink.read_text(encoding="utf-8").splitlines()]


def _connect(dsn: str) -> db.Connection:
    return db.connect(dsn, application_name="guestcomms demo", autocommit=True)


def _login(dsn: str) -> str:
    return str(db.login_of(dsn))
