"""Guests of six fates, from before the moment that the cluster goes back to until it does.

Who is who, and when what was, is recorded here, outside the database. Nobody else's messages wait.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.ops.alerts.causes.common import superuser
from tests.ops.cluster.harness import Cluster
from tests.restores.people import (
    Connection,
    address,
    answer,
    application,
    claim,
    claimed,
    found,
    invite,
    listed,
    queue,
    worker,
)

FATES = ("nothing", "unsubscribed", "withdrew", "erased", "sent", "in hand")
EACH = 300
"""Guests of each fate."""
PARTS = ("soon", "late")
"""When it comes to one half and the other: right behind the target, right before the restore."""
LEASES = {"soon": "5 minutes", "late": "1 hour"}
"""Of the workers: of who never answers the first ends by itself, the other is cut off."""
REPORTS = ("unsubscribed", "complained", "bounced")
"""What providers say of an earlier message; as many guests as each click on the link in it."""
ROW = f"Row {uuid.uuid4().hex[:6]}"
NAMES = f"SELECT replace(name, '{ROW} ', '') FROM organizations WHERE name LIKE '{ROW} %'"


@dataclass(frozen=True)
class Guest:
    """A guest, with the recipients of two messages.

    Attributes: `earlier` is of the message that was sent before the target, `waiting` of the one
    that waits then.
    """

    name: str
    fate: str
    part: str
    id: str
    earlier: str
    waiting: str


@dataclass
class Story:
    """Who is who, and when what was."""

    organization: str
    guests: tuple[Guest, ...]
    target: datetime
    restored: str = ""

    @property
    def age(self) -> float:
        """Seconds since the target."""
        return (datetime.now(UTC) - self.target).total_seconds()

    def of(self, fate: str, part: str | None = None) -> list[Guest]:
        """The guests of a fate, or one half of them."""
        return [one for one in self.guests if one.fate == fate and part in (None, one.part)]


def begin(cluster: Cluster) -> Story:
    """A message was sent to everybody, another one waits; the target; then it goes on."""
    organization = found(cluster)
    cast = {
        f"{fate} {part} {number:03}": (fate, part)
        for fate in FATES
        for part in PARTS
        for number in range(EACH // len(PARTS))
    }
    with application(cluster) as app:
        ids = invite(app, organization, cast)
        earlier = queue(app, organization, list(ids.values()))
        assert claimed(cluster) == sorted(cast)
        # An answer is for a whole chunk: who stays in hand is in another one.
        chunks: dict[str, list[str]] = {}
        for name, (fate, part) in cast.items():
            chunks.setdefault(part if fate == "in hand" else "answered", []).append(ids[name])
        waiting: dict[str, str] = {}
        for guests in chunks.values():
            waiting |= queue(app, organization, guests)
    insert(cluster, "before")
    time.sleep(1.1)
    target = datetime.now(UTC)
    time.sleep(1.1)
    insert(cluster, "behind")
    story = Story(
        organization,
        tuple(
            Guest(name, fate, part, ids[name], earlier[ids[name]], waiting[ids[name]])
            for name, (fate, part) in cast.items()
        ),
        target,
    )
    live_on(cluster, story, "soon")
    return story


def insert(cluster: Cluster, name: str) -> None:
    """Commit a row that tells on which side of the target a database is."""
    cluster.query(f"SELECT create_organization(gen_random_uuid(), '{ROW} {name}')", "--role", "ops")


def rows(cluster: Cluster) -> set[str]:
    """Which of those rows are there."""
    return {str(row[0]) for row in cluster.query(NAMES, "--role", "ops")}


def live_on(cluster: Cluster, story: Story, part: str) -> None:
    """What workers, guests and providers do, through the calls they have."""
    ours = story.organization
    by_link, *reported = (
        story.of("unsubscribed", part)[n :: 1 + len(REPORTS)] for n in range(1 + len(REPORTS))
    )
    events = [
        {"provider": "smtp", "provider_event_id": str(uuid.uuid4()), "status": status,
         "recipient_id": guest.earlier, "occurred_at": datetime.now(UTC).isoformat()}
        for status, guests in zip(REPORTS, reported, strict=True)
        for guest in guests
    ]  # fmt: skip
    with application(cluster) as app, worker(cluster) as sender:
        send(sender, story, part)
        for guest in story.of("withdrew", part):
            withdraw = "SELECT withdraw_consent(%s, %s, 'email', 'offers')"
            app.execute(withdraw, [ours, address(guest.name)])
        for guest in story.of("erased", part):
            app.execute("SELECT erase_guest(%s, %s)", [ours, guest.id])
        for token in tokens(cluster, ours, by_link):
            sender.execute("SELECT unsubscribe(%s)", [token])
        recorded = sender.execute(
            "SELECT accepted, duplicates, unmatched FROM record_delivery_events(%s, %s)",
            [ours, json.dumps(events)],
        ).fetchone()
        assert recorded == (len(events), 0, 0)


def send(sender: Connection, story: Story, part: str) -> None:
    """Send to those whose fate it is; keep some in hand without an answer, give the others back."""
    past = PARTS[: PARTS.index(part)]
    chunks = claim(sender, LEASES[part])
    given = sorted(one for chunk in chunks for one in chunk.recipients)
    assert given == sorted(
        one.waiting for one in story.guests if one.fate == "nothing" or one.part not in past
    )
    sent = {one.waiting for one in story.of("sent", part)}
    kept = {one.waiting for one in story.of("in hand", part)}
    for chunk in chunks:
        if kept.isdisjoint(chunk.recipients):
            answer(sender, chunk, sent)
        else:
            assert kept == set(chunk.recipients)


def tokens(cluster: Cluster, organization: str, guests: list[Guest]) -> list[str]:
    """What the links in the earlier message carry."""
    carried = (
        f"SELECT internal.unsubscribe_token('{organization}', id) FROM communication_recipients"
        f" WHERE id IN ({listed(one.earlier for one in guests)})"
    )
    return superuser(cluster, cluster.leader, carried).splitlines()
