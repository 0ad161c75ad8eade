"""A restore forgets what guests decided; what went on tells it, before anything is sent.

Each test goes on in one database after it was copied: the copy is what a restore to that moment is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from guestcomms import db

from infra.agent import cluster_restore, paths
from infra.agent import database as agent_database
from infra.agent.facts import Machine
from tests.db import queue_calls, tenant_rows
from tests.db.server import NUMBERS, Database
from tests.db.tenant_rows import Organization

Facts = list[tuple[str, dict[str, object]]]

FATES = (
    "nothing", "put off", "unsubscribed", "unsubscribed by an older message", "withdrew", "erased",
    "bounced", "complained", "sent", "failed", "unknown", "in hand", "no wish", "suppressed",
    "narrow", "put off and unsubscribed", "cancelled",
)  # fmt: skip
STILL_WAIT = ["nothing", "put off"]
KINDS = {"organization", "key", "suppression", "withdrawal", "preference", "cancellation",
         "communication", "message", "request", "erasure"}  # fmt: skip
OUTCOMES = {"sent": "sent", "failed": "permanent", "unknown": "unknown", "put off": "temporary",
            "put off and unsubscribed": "temporary"}  # fmt: skip
CONSENT = "SELECT record_consent(%s, %s, 'email', 'offers', '1', 'form')::text"
MAKE = (
    "SELECT id FROM create_communication(%s, 'Hello', 'email', 'offers', p_subject => 'Hello',"
    " p_body => 'Hello', p_lawful_basis => 'consent', p_idempotency_key => %s)"
)
SEND = "SELECT accepted FROM bulk_send(%s, %s, %s::uuid[])"


@dataclass(frozen=True)
class Story:
    """A database that went on, its copy from before, and who and what are in them."""

    of: Organization
    closed: Organization
    before: Database
    since: str
    guests: dict[str, str]
    """Fate → guest."""
    later: str
    """A communication made after the target."""
    cancelled: str


@dataclass(frozen=True)
class Restored:
    """A restored copy, and what it is to be told."""

    story: Story
    copy: Database
    facts: Facts

    @property
    def of(self) -> Organization:
        """The organization in the copy."""
        return Organization(self.copy, self.story.of.id)


@pytest.fixture(scope="module")
def story(shared: Database) -> Iterator[Story]:
    """One message is sent and others are queued when the copy is made; then it goes on."""
    shared.execute("SELECT set_login_unrestricted('wedsync_worker', true, 'x')", "wedsync_ops")
    closed = tenant_rows.organization(shared, "closed")
    tenant_rows.guest(closed)
    of = tenant_rows.organization(shared)
    of.call("SELECT create_consent_text(%s, '1', 'Yes.')::text", of.id)
    guests = {fate: tenant_rows.guest(of, address(fate), name=fate) for fate in FATES}
    for fate in FATES:
        of.call(CONSENT, of.id, address(fate))
    send_all(of, make(of, list(guests.values())))
    suppress(shared, "narrow", "'commercial', '2020-01-01', now() + interval '1 day'")
    make(of, [guest for fate, guest in guests.items() if fate not in ("in hand", "cancelled")])
    make(of, [guests["in hand"]])
    cancelled = make(of, [guests["cancelled"]])
    before = shared.server.clone(shared.name, f"test_{next(NUMBERS)}")
    before.execute("SELECT freeze_sending('restored')", "wedsync_ops")
    since = str(shared.value("SELECT clock_timestamp()"))
    live_on(of, guests)
    of.call("SELECT cancelled FROM cancel_communication(%s, %s)", of.id, cancelled)
    later = make(of, [guests["nothing"], guests["put off"]], "later")
    with shared.connect("wedsync_worker") as worker:
        for chunk in queue_calls.claim(worker, 9, 1):
            done = chunk.results(provider_message_id="<later>")
            back = chunk.results("not_attempted")
            queue_calls.complete(worker, chunk, done if chunk.communication_id == later else back)
    shared.execute(f"SELECT destroy_organization_keys('{closed.id}', 'closed')", "wedsync_ops")
    yield Story(of, closed, before, since, guests, later, cancelled)
    before.drop()


@pytest.fixture
def restored(story: Story) -> Iterator[Restored]:
    copy = story.before.server.clone(story.before.name, f"test_{next(NUMBERS)}")
    yield Restored(story, copy, export(story.of.database))
    copy.drop()


def address(fate: str) -> str:
    return f"{fate.replace(' ', '.')}@example.com"


def make(of: Organization, guests: list[str], key: str | None = None) -> str:
    """A communication in the queue."""
    message = str(of.call(MAKE, of.id, key))
    assert of.call(SEND, of.id, message, guests) == len(guests)
    return message


def send_all(of: Organization, message: str) -> None:
    with of.database.connect("wedsync_worker") as worker:
        [chunk] = queue_calls.claim(worker)
        assert chunk.communication_id == message
        results = chunk.results(provider_message_id=f"<{message}>")
        queue_calls.complete(worker, chunk, results[:1] + chunk.results()[1:])


def recipients(database: Database, condition: str) -> dict[str, str]:
    """Fate of the guest → recipient."""
    with database.connect() as owner:
        rows = db.rows(
            owner,
            "SELECT recipient_name AS name, id::text FROM communication_recipients"
            f" WHERE {condition}".encode(),
        )
    return {row["name"]: row["id"] for row in rows}


def unsubscribe(of: Organization, recipient: str) -> object:
    token = of.database.value(f"SELECT internal.unsubscribe_token('{of.id}', '{recipient}')")
    return of.database.value(f"SELECT channel FROM unsubscribe('{token}')", "wedsync_worker")


def live_on(of: Organization, guests: dict[str, str]) -> None:
    """What guests, workers and providers do after the target, by the calls they have."""
    queued = recipients(of.database, "status = 'queued'")
    sent = recipients(of.database, "status = 'sent'")
    unsubscribe(of, queued["unsubscribed"])
    unsubscribe(of, sent["unsubscribed by an older message"])
    unsubscribe(of, sent["narrow"])
    withdraw = "SELECT suppressed FROM withdraw_consent(%s, %s, 'email', 'offers')"
    of.call(withdraw, of.id, address("withdrew"))
    of.call("SELECT consents_ended FROM erase_guest(%s, %s)", of.id, guests["erased"])
    wish = "SELECT set_preferences(%s, %s, 'email', '{\"allowed\": false}')::text"
    of.call(wish, of.id, guests["no wish"])
    suppress(of.database, "suppressed", "'all', now(), NULL")
    with of.database.connect("wedsync_worker") as worker:
        for fate in ("bounced", "complained"):
            report = queue_calls.event(sent[fate], fate, error_code="5.1.1")
            assert queue_calls.record(worker, of.id, [report]) == (1, 0, 0)
        chunk, in_hand = queue_calls.claim(worker, 2)
        assert in_hand.recipient_ids == [queued["in hand"]]  # and nobody answers for it
        fates = {recipient: fate for fate, recipient in queued.items()}
        queue_calls.complete(worker, chunk, [
            {"recipient_id": one, "provider": "smtp",
             "outcome": OUTCOMES.get(fates[one], "not_attempted")}
            for one in chunk.recipient_ids
        ])  # fmt: skip
    unsubscribe(of, queued["put off and unsubscribed"])


def suppress(database: Database, fate: str, how: str) -> None:
    """Suppress a guest by hand; `how` is scope, since when and until when."""
    database.execute(
        "INSERT INTO suppressions (organization_id, channel, address_hash, reason,"
        " scope, created_at, expires_at)"
        f" SELECT organization_id, 'email', email_hash, 'manual', {how}"
        f" FROM guests WHERE name = '{fate}'"
    )


def export(database: Database, since: str = "-infinity") -> Facts:
    with database.connect("guestcomms_agent") as agent:
        query = b"SELECT kind, fact FROM internal.protective_facts(%s)"
        return agent.execute(query, (since,)).fetchall()


def tell(database: Database, facts: Facts) -> dict[str, int]:
    """Apply facts in their order; returns how many changed something, by kind."""
    changed = {}
    with database.connect("guestcomms_agent") as agent:
        for kind in dict.fromkeys(kind for kind, _ in facts):
            mine = json.dumps([fact for one, fact in facts if one == kind])
            query = b"SELECT internal.apply_protective_facts(%s, %s::jsonb)"
            changed[kind] = int(db.one_value(agent, query, (kind, mine)))
    return changed


def claimed(database: Database) -> list[str]:
    """Thaw, and hand out all that the queue gives to a worker; returns whose messages they are."""
    database.execute("SELECT thaw_sending()", "wedsync_ops")
    with database.connect("wedsync_worker") as worker:
        ids = [one for chunk in queue_calls.claim(worker, 100) for one in chunk.recipient_ids]
        assert queue_calls.claim(worker, 100) == []
    wanted = ", ".join(f"'{one}'" for one in ids) or "NULL"
    return sorted(recipients(database, f"id IN ({wanted})"))


def claimed_frozen(database: Database) -> list[queue_calls.Claimed]:
    with database.connect("wedsync_worker") as worker:
        return queue_calls.claim(worker, 100)


def test_a_bare_restore_writes_to_everybody(restored: Restored) -> None:
    """The control: what the next test forbids is what happens without the facts."""
    assert claimed(restored.copy) == sorted(FATES)


def test_nobody_is_written_to_twice_or_against_their_will(restored: Restored) -> None:
    tell(restored.copy, restored.facts)
    assert claimed(restored.copy) == STILL_WAIT


@pytest.mark.parametrize(
    ("kind", "fates"),
    [
        ("suppression", ["bounced", "complained", "suppressed"]),
        ("withdrawal", ["withdrew"]),
        ("preference", ["no wish"]),
        ("cancellation", ["cancelled"]),
        ("message", ["failed", "in hand", "sent", "unknown"]),
    ],
)
def test_each_kind_protects_somebody(restored: Restored, kind: str, fates: list[str]) -> None:
    """Leave one out and its guests are written to. Unsubscribing and erasing leave two traces."""
    tell(restored.copy, [one for one in restored.facts if one[0] != kind])
    assert set(fates) <= set(claimed(restored.copy)) <= {*STILL_WAIT, *fates}


def test_facts_since_the_copy_are_enough(restored: Restored) -> None:
    facts = export(restored.story.of.database, restored.story.since)
    assert len(facts) < len(restored.facts)
    tell(restored.copy, facts)
    assert claimed(restored.copy) == STILL_WAIT


def test_told_again_they_change_nothing(restored: Restored) -> None:
    first = tell(restored.copy, restored.facts)
    assert all(first.values()), first  # each kind there is has changed something
    assert set(first) == KINDS
    assert set(tell(restored.copy, restored.facts).values()) == {0}


def test_the_erased_guest_is_erased_again(restored: Restored) -> None:
    assert address("erased") in restored.copy.dump()
    tell(restored.copy, restored.facts)
    assert address("erased") not in restored.copy.dump()


def test_counters_and_integrity_agree_afterwards(restored: Restored) -> None:
    tell(restored.copy, restored.facts)
    restored.copy.execute("SELECT internal.roll_up_counters()")
    found = "SELECT string_agg(check_name, ', ') FROM run_integrity_checks() WHERE count > 0"
    assert restored.copy.value(found, "wedsync_ops") is None
    sums = "SELECT total_recipients, sent_count, status FROM guest_communications WHERE id = '{}'"
    with restored.copy.connect() as owner:
        row = owner.execute(sums.format(restored.story.later).encode()).fetchone()
    assert row == (1, 1, "cancelled")  # the guest who was still queued then is not here


def test_a_message_made_after_the_target_can_be_unsubscribed_from(restored: Restored) -> None:
    tell(restored.copy, restored.facts)
    [(fate, one)] = recipients(
        restored.copy, f"communication_id = '{restored.story.later}'"
    ).items()
    assert unsubscribe(restored.of, one) == "email"
    assert claimed(restored.copy) == [other for other in STILL_WAIT if other != fate]


def test_its_bounce_is_heard(restored: Restored) -> None:
    tell(restored.copy, restored.facts)
    event = {**queue_calls.event("", "bounced"), "provider_message_id": "<later>"}
    del event["recipient_id"]
    with restored.copy.connect("wedsync_worker") as worker:
        assert queue_calls.record(worker, restored.of.id, [event]) == (1, 0, 0)
    state = "SELECT status FROM communication_recipients WHERE provider_message_id = '<later>'"
    assert restored.copy.value(state) == "bounced"


def test_an_application_that_repeats_its_request_sends_nothing_twice(restored: Restored) -> None:
    tell(restored.copy, restored.facts)
    assert str(restored.of.call(MAKE, restored.of.id, "later")) == restored.story.later
    guests = list(restored.story.guests.values())
    with pytest.raises(db.DatabaseError) as refusal:
        restored.of.call(SEND, restored.of.id, restored.story.later, guests)
    assert refusal.value.sqlstate == "GC347"


def test_a_closed_organization_stays_closed_and_its_keys_destroyed(restored: Restored) -> None:
    tell(restored.copy, restored.facts)
    keys = (
        "SELECT count(encrypted_key) FROM communication_encryption_keys"
        f" WHERE organization_id = '{restored.story.closed.id}'"
    )
    assert restored.story.before.value(keys) != 0
    assert restored.copy.value(keys) == 0


def test_a_suppression_that_was_widened_is_wide(restored: Restored) -> None:
    """Its date is older than any target."""
    tell(restored.copy, export(restored.story.of.database, "infinity"))
    state = (
        "SELECT concat_ws(' ', known.scope, coalesce(known.expires_at::text, 'for ever'))"
        " FROM suppressions AS known JOIN guests ON email_hash = address_hash WHERE name = 'narrow'"
    )
    assert restored.story.before.value(state) != "all for ever"
    assert restored.copy.value(state) == "all for ever"


def test_what_is_known_better_stays(restored: Restored) -> None:
    """A provider reports to the restored database before that is told anything."""
    sent = recipients(restored.copy, "status = 'queued'")["sent"]
    with restored.copy.connect("wedsync_worker") as worker:
        queue_calls.record(worker, restored.of.id, [queue_calls.event(sent, "delivered")])
    tell(restored.copy, restored.facts)
    state = f"SELECT status FROM communication_recipients WHERE id = '{sent}'"
    assert restored.copy.value(state) == "delivered"


@pytest.mark.parametrize(
    ("call", "state"),
    [
        ("internal.apply_protective_facts('guest', '[]')", "GC369"),
        ("internal.apply_protective_facts('message', '{}')", "GC369"),
        ("internal.apply_protective_facts('message', NULL)", "GC369"),
        ("internal.finish_cluster_restore('restore_20260102_030405', '{}')", "GC146"),
    ],
)
def test_bad_facts_are_refused(database: Database, call: str, state: str) -> None:
    database.execute("SELECT freeze_sending('restored')", "wedsync_ops")
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute(f"SELECT {call}", "guestcomms_agent")
    assert refusal.value.sqlstate == state


RESTORE = json.dumps({
    "restore_id": "restore_20260102_030405", "target_type": "time",
    "target": "2026-01-02 03:04:05+00", "inclusive": True,
    "label": "20260102-030405F", "reached_lsn": "0/2000158",
    "abandoned_timeline": 1, "abandoned_at": "2026-01-02 04:04:05+00",
})  # fmt: skip


def test_nothing_is_applied_to_a_database_that_sends(database: Database) -> None:
    for call in ("apply_protective_facts('message', '[]')", f"record_cluster_restore('{RESTORE}')"):
        with pytest.raises(db.DatabaseError) as refusal:
            database.execute(f"SELECT internal.{call}", "guestcomms_agent")
        assert refusal.value.sqlstate == "GC368"


def test_a_restored_database_is_not_thawed_before_it_was_told(database: Database) -> None:
    record = f"SELECT internal.record_cluster_restore('{RESTORE}')"
    database.execute("SELECT freeze_sending('restored')", "wedsync_ops")
    assert database.value(record, "guestcomms_agent") is True
    assert database.value(record, "guestcomms_agent") is False
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute("SELECT thaw_sending()", "wedsync_ops")
    assert refusal.value.sqlstate == "GC370"
    finish = "SELECT internal.finish_cluster_restore('restore_20260102_030405', '{}')"
    assert database.value(finish, "guestcomms_agent") is True
    assert database.value(finish, "guestcomms_agent") is False
    assert database.value(record, "guestcomms_agent") is False
    assert database.value("SELECT thaw_sending()", "wedsync_ops") is True


@pytest.fixture
def agent(restored: Restored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The agent on the machine that was restored, with a file of facts."""
    dsn = restored.copy.server.dsn
    monkeypatch.setattr(agent_database, "local_superuser", dsn)
    monkeypatch.setattr(agent_database, "local_agent", lambda name: dsn(name, "guestcomms_agent"))
    monkeypatch.setattr(paths, "RESTORES", tmp_path)
    home = tmp_path / "restore_20260102_030405"
    home.mkdir()
    lines = [json.dumps(list(fact)) for fact in restored.facts]
    (home / "facts.jsonl").write_text("\n".join(lines) + "\n")
    return Machine("pg-1", "database", "x", "x", restored.copy.name, "new", ("pg-1",), (), ())


def test_the_agent_freezes_what_was_restored(restored: Restored, agent: Machine) -> None:
    restored.copy.execute("SELECT thaw_sending()", "wedsync_ops")
    assert cluster_restore.freeze(agent)
    assert claimed_frozen(restored.copy) == []
    assert not cluster_restore.freeze(replace(agent, database="of_a_new_cluster"))


def test_the_agent_tells_what_is_in_the_file(restored: Restored, agent: Machine) -> None:
    said = cluster_restore.tell(agent, "restore_20260102_030405", json.loads(RESTORE))
    counts: Any = said["facts"]
    assert sum(count["given"] for count in counts.values()) == len(restored.facts)
    assert set(counts) == KINDS
    ledger = "SELECT facts FROM communication_cluster_restores WHERE facts_applied_at IS NOT NULL"
    assert restored.copy.value(ledger) == counts
    again: Any = cluster_restore.tell(agent, "restore_20260102_030405", json.loads(RESTORE))
    assert {count["applied"] for count in again["facts"].values()} == {0}
    assert claimed(restored.copy) == STILL_WAIT


def test_facts_are_forgone_with_a_reason_that_is_audited(database: Database) -> None:
    database.execute("SELECT freeze_sending('restored')", "wedsync_ops")
    database.execute(f"SELECT internal.record_cluster_restore('{RESTORE}')", "guestcomms_agent")
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute("SELECT forgo_protective_facts(' ')", "wedsync_ops")
    assert refusal.value.sqlstate == "GC366"
    assert database.value("SELECT forgo_protective_facts('all burnt')", "wedsync_ops") is True
    assert database.value("SELECT forgo_protective_facts('all burnt')", "wedsync_ops") is False
    assert database.value(
        "SELECT details ->> 'reason' FROM communication_security_audit"
        " WHERE event_type = 'protective_facts_forgone'"
    ) == "all burnt"  # fmt: skip
    assert database.value("SELECT thaw_sending()", "wedsync_ops") is True
