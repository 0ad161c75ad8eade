"""The tenants of load runs: made once through the API, found again by every later run.

What a run uses up (communications that nobody has got yet, messages that wait) is made for it, and
cancelled when it is over, so that no worker sends it.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guestcomms import db
from guestcomms.errors import GuestcommsError, RefusedError
from guestcomms.load.plan import Catalogue
from guestcomms.load.target import Target

BLOCK = 100
"""Guests named in one call of bulk_send."""
CLAIMS = 100
VARIABLES = {
    "venue": "Orchard Barn", "street": "12 Mill Lane", "town": "Ashford",
    "day": "Saturday, 12 June", "hour": "14:00", "table": "7", "menu": "vegetarian",
    "dress": "summer festive", "host": "Ann and Ben", "reply": "https://weddings.example.org/reply/4711",
}  # fmt: skip
"""With guest_name and organization_name the twelve variables of the template."""
BODY = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{organization_name}}</title></head>
<body style="margin:0;background:#faf7f2;font-family:Georgia,serif;color:#333">
<table role="presentation" width="100%" style="max-width:600px;margin:auto;background:#fff"><tr>
<td style="padding:32px">
<h1 style="font-size:26px;font-weight:normal;text-align:center">{{organization_name}}</h1>
<p>Dear {{guest_name}},</p>
<p>there are only a few weeks left until we celebrate, and we are looking forward to having you with
us. Here is once more what you need to know for the day; keep this message, or print it, so that you
have it at hand when you are on your way.</p>
<table role="presentation" style="margin:24px 0;border-top:1px solid #ddd;line-height:1.7">
<tr><td width="120"><b>When</b></td><td>{{day}}, doors open at {{hour}}</td></tr>
<tr><td><b>Where</b></td><td>{{venue}}, {{street}}, {{town}}</td></tr>
<tr><td><b>Your table</b></td><td>{{table}}</td></tr>
<tr><td><b>Your menu</b></td><td>{{menu}}</td></tr>
<tr><td><b>Dress</b></td><td>{{dress}}</td></tr>
</table>
<p>From the station a shuttle runs every twenty minutes; there is parking behind the house, and the
last bus back to town leaves at half past one. Children are welcome all day: from six o'clock on
somebody looks after them upstairs, and there is a quiet room for the youngest.</p>
<p>The kitchen needs to know by Wednesday if your menu is not right, or if there is anything that
you must not eat. Rooms are held for you at the house until the end of the month. Should your plans
change, please tell us as soon as you can, so that nobody waits for you and your place does not stay
empty.</p>
<p style="text-align:center;margin:32px 0"><a href="{{reply}}" style="background:#7a5c3e;color:#fff;
padding:12px 28px;text-decoration:none;border-radius:4px">Change your answer</a></p>
<p>See you soon, {{guest_name}}!<br>{{host}}</p>
<p style="font-size:12px;color:#888">You get this message because {{host}} invited you.</p>
</td></tr></table></body></html>
"""
"""About 2 KB."""

Say = Callable[[str], None]


@dataclass
class Tenant:
    """One tenant as the generator needs it."""

    number: int
    organization: str
    size: int
    template: str = ""
    queried: str = ""
    guests: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    """Of a communication that was sent: what events are reported on."""

    @property
    def name(self) -> str:
        """Its name."""
        return f"Load {self.number:02d} of {self.size}"

    @property
    def prefix(self) -> str:
        """How the names of its guests begin, and nobody else's."""
        return f"T{self.number:02d} "


@dataclass
class Data:
    """What a run calls with, and what it leaves to be cancelled."""

    tenants: list[Tenant]
    slices: list[dict[str, Any]] = field(default_factory=list)
    made: list[tuple[str, str]] = field(default_factory=list)
    """Communications of this run: organization, communication."""

    def write(self, folder: Path) -> None:
        """The shared arrays of the generator, each a file."""
        blocks = [
            {**one, "count": len(one["guests"]), "guests": f"{{{','.join(one['guests'])}}}"}
            for one in self._guests()
        ]
        arrays = {
            "blocks": blocks, "slices": self.slices, "pages": self._pages(),
            "reported": self._reported(),
        }  # fmt: skip
        for name, values in arrays.items():
            (folder / f"{name}.json").write_text(json.dumps(values), "utf-8")

    def brief(self) -> list[dict[str, str]]:
        """What every client knows of the tenants."""
        return [
            {
                "organization": one.organization, "name": one.name, "prefix": one.prefix,
                "template": one.template, "queried": one.queried,
            }
            for one in self.tenants
        ]  # fmt: skip

    def shares(self) -> list[int]:
        """How often each tenant is called, by its guests: ends of intervals from 0."""
        return list(itertools.accumulate(one.size for one in self.tenants))

    def call_rows(self) -> list[dict[str, Any]]:
        """The slices as rows for pgbench: numbered, with organization and guests."""
        blocks = self._guests()
        return [
            {
                "number": number, "organization": self._organization(blocks[one["block"]]),
                "communication": one["communication"], "guests": blocks[one["block"]]["guests"],
            }
            for number, one in enumerate(self.slices)
        ]  # fmt: skip

    def page_rows(self) -> list[dict[str, Any]]:
        """The same of pages of recipients."""
        return [
            {
                "number": number, "organization": self._organization(one),
                "communication": self.tenants[one["tenant"]].queried, "after": one["after"],
            }
            for number, one in enumerate(self._pages())
        ]  # fmt: skip

    def report_rows(self) -> list[dict[str, Any]]:
        """The same of recipients on whom events are reported, with the tenant's template."""
        return [
            {
                "number": number, "organization": self._organization(one),
                "name": self.tenants[one["tenant"]].name,
                "template": self.tenants[one["tenant"]].template, "recipients": one["recipients"],
            }
            for number, one in enumerate(self._reported())
        ]  # fmt: skip

    def _organization(self, one: Mapping[str, Any]) -> str:
        return self.tenants[int(one["tenant"])].organization

    def _guests(self) -> list[dict[str, Any]]:
        return [
            {"tenant": place, "guests": one.guests[first : first + BLOCK]}
            for place, one, first in self._blocks()
        ]

    def _pages(self) -> list[dict[str, Any]]:
        return [
            {"tenant": place, "after": key}
            for place, one in enumerate(self.tenants)
            if one.queried
            for key in one.guests[:-BLOCK:7]
        ]

    def _reported(self) -> list[dict[str, Any]]:
        return [
            {"tenant": place, "recipients": one.recipients[first : first + 20]}
            for place, one in enumerate(self.tenants)
            for first in range(0, len(one.recipients) - 19, 20)
        ]

    def _blocks(self) -> Iterator[tuple[int, Tenant, int]]:
        for place, one in enumerate(self.tenants):
            for first in range(0, one.size - BLOCK + 1, BLOCK):
                yield place, one, first

    def cut(self, target: Target, run: str, slices: int, say: Say) -> None:
        """Make communications until there are so many pairs of one and a hundred guests."""
        blocks = list(self._blocks())
        rounds = math.ceil(slices / len(blocks))
        say(f"{rounds * len(self.tenants)} communications for {slices} calls of bulk_send …")
        with target.connect("app") as connection:
            for number in range(rounds):
                ids = [
                    self._communication(connection, one, f"{run} {number}") for one in self.tenants
                ]
                self.slices += [
                    {"block": block, "communication": ids[place]}
                    for block, (place, _, _) in enumerate(blocks)
                ]
        # In the order of the file a tenant would be called a hundred times on end.
        step = next(n for n in (7919, 7907, 7901) if math.gcd(n, len(self.slices)) == 1)
        self.slices = [self.slices[i * step % len(self.slices)] for i in range(len(self.slices))]

    def queue(self, target: Target, run: str, messages: int, say: Say) -> None:
        """Queue at least so many messages for the senders."""
        if messages:
            say(f"{messages} messages into the queue …")
        number = 0
        with target.connect("app") as connection:
            while messages > 0:
                for one in self.tenants:
                    communication = self._communication(connection, one, f"{run} q{number}")
                    messages -= _send(connection, one, communication)
                    if messages <= 0:
                        break
                number += 1

    def cancel(self, target: Target, say: Say) -> None:
        """Cancel what this run has made and nobody has sent."""
        say(f"Cancelling the {len(self.made)} communications of this run …")
        with target.connect("app") as connection:
            for organization, communication in self.made:
                try:
                    connection.execute(
                        "SELECT public.cancel_communication(%s, %s)", (organization, communication)
                    )
                except db.DatabaseError as error:
                    if error.sqlstate != "GC347":  # sent to the last
                        raise
        self.made.clear()

    def _communication(self, connection: db.Connection, one: Tenant, title: str) -> str:
        made = _communication(connection, one, title, title)
        self.made.append((one.organization, made))
        return made


def prepare(target: Target, found: Catalogue, say: Say) -> Data:
    """Make or find tenants, guests, templates and communications that were sent.

    Raises `RefusedError` where messages of others wait, which the senders would take.
    """
    tenants = [
        Tenant(number, f"018f3a5c-1000-7de3-8000-{number:04x}{size:08x}", size)
        for number, size in enumerate(found.tenants, 1)
    ]
    try:
        _let_in(target, tenants)
        say(f"{len(tenants)} tenants with {sum(found.tenants)} guests …")
        with target.connect("app") as app, target.connect("worker") as worker:
            for one in tenants:
                _fill(app, one)
            sent = [(one, _sent_one(app, one, "events")) for one in tenants]
            for one in tenants:
                if one.size == max(found.tenants):
                    one.queried = _sent_one(app, one, "queries")
            _send_all(worker, tenants, say)
            for one, communication in sent:
                one.recipients = _recipients(app, one, communication)
                _check(one, len(one.recipients))
    except db.DatabaseError as error:
        raise GuestcommsError(
            f"The data of load runs cannot be made: {db.first_line(error)}; look at"
            " `.venv/bin/guestcomms migrate status`."
        ) from error
    return Data(tenants)


def _let_in(target: Target, tenants: Sequence[Tenant]) -> None:
    ours = [one.organization for one in tenants]
    with target.connect("ops") as ops:
        foreign = db.one_value(
            ops,
            "SELECT count(*) FROM public.communication_batch_queue"
            " WHERE operation_type = 'send' AND organization_id <> ALL (%s::uuid[])",
            (ours,),
        )
        if foreign:
            raise RefusedError(
                f"{foreign} chunks of other organizations wait in the queue, and the senders of a"
                " load run would take them; let them be sent first, or take another stack."
            )
        app, worker = db.login_of(target.app), db.login_of(target.worker)
        for one in tenants:
            ops.execute(
                "SELECT public.create_organization(%s, %s, 'UTC', ARRAY[%s]::name[])",
                (one.organization, one.name, app),
            )
        ops.execute(
            "SELECT public.set_login_unrestricted(%s, true, 'sends for every organization')",
            (worker,),
        )


def _fill(app: db.Connection, one: Tenant) -> None:
    """Guests and template."""
    guests = [
        {
            "external_id": f"{number}",
            "name": f"{one.prefix}Guest {number}",
            "email": f"guest{number}@t{one.number:02d}.example.org",
        }
        for number in range(one.size)
    ]
    made = db.rows(
        app,
        "SELECT made.guest_id::text AS id FROM public.upsert_guests(%s, %s::jsonb) AS made",
        (one.organization, json.dumps(guests)),
    )
    one.guests = sorted(row["id"] for row in made)
    one.template = str(
        db.one_value(
            app,
            "SELECT made.template_id FROM public.create_template(%s, 'Load', 'email',"
            " 'For {{guest_name}}', %s) AS made",
            (one.organization, BODY),
        )
    )
    app.execute("SELECT public.publish_template(%s, %s)", (one.organization, one.template))


def _communication(app: db.Connection, one: Tenant, title: str, key: str) -> str:
    return str(
        db.one_value(
            app,
            "SELECT made.id FROM public.create_communication(%s, %s, 'email', 'wedding',"
            " p_subject => 'Load', p_body => '<p>Hello {{guest_name}}</p>',"
            " p_lawful_basis => 'contract', p_idempotency_key => %s) AS made",
            (one.organization, f"Load {title}", f"load {key}"),
        )
    )


def _send(app: db.Connection, one: Tenant, communication: str) -> int:
    """Queue a communication for all guests; returns how many it was queued for by this call."""
    return int(
        db.one_value(
            app,
            "SELECT sent.accepted FROM public.bulk_send(%s, %s, p_all_guests => true) AS sent",
            (one.organization, communication),
        )
    )


def _sent_one(app: db.Connection, one: Tenant, purpose: str) -> str:
    communication = _communication(app, one, purpose, f"tenant {purpose}")
    _send(app, one, communication)
    return communication


def _send_all(worker: db.Connection, tenants: Sequence[Tenant], say: Say) -> None:
    """Play the worker until the queue is empty."""
    ours, count = {one.organization for one in tenants}, 0
    while leases := db.rows(
        worker,
        "SELECT organization_id::text, batch_id, lease_token::text, recipient_ids::text[]"
        " FROM public.claim_batches('load prepare', %s, '5 minutes', 1000, ARRAY['email'])",
        (CLAIMS,),
    ):
        for lease in leases:
            mine = lease["organization_id"] in ours
            results = [
                {"recipient_id": one, "outcome": "sent", "provider": "load"}
                if mine
                else {"recipient_id": one, "outcome": "not_attempted"}
                for one in lease["recipient_ids"]
            ]
            worker.execute(
                "SELECT public.complete_batch(%s, %s, %s, %s::jsonb)",
                (
                    lease["organization_id"], lease["batch_id"], lease["lease_token"],
                    json.dumps(results),
                ),
            )  # fmt: skip
            if not mine:
                raise RefusedError(
                    "Somebody else began to send while the data was made; take another stack."
                )
            count += len(results)
        say(f"{count} messages sent before the run …")


def _recipients(app: db.Connection, one: Tenant, communication: str) -> list[str]:
    found: list[str] = []
    after: str | None = None
    while True:
        page = db.rows(
            app,
            "SELECT recipient_key::text AS key, id::text AS id, status"
            " FROM public.list_recipients(%s, %s, NULL, %s, 500)",
            (one.organization, communication, after),
        )
        found += [row["id"] for row in page if row["status"] not in {"queued", "sending"}]
        if len(page) < 500:
            return found
        after = page[-1]["key"]


def _check(one: Tenant, sent: int) -> None:
    if sent < one.size:
        raise RefusedError(
            f"Of {one.name} only {sent} of {one.size} messages could be sent; see"
            " `.venv/bin/guestcomms health`, then run it again."
        )
