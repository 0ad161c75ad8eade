"""Who may be written to: every reason, and when quiet hours end."""

from __future__ import annotations

import uuid
from datetime import datetime, time

import pytest

from tests.db.server import Database

A = "018f0000-0000-7000-8000-000000000001"
GATES = """
SELECT suppression_reason
FROM internal.contact_gates('{organization}', '{channel}', '{category}', 'updates', '{basis}',
    ARRAY['{guest}'::uuid], ARRAY[{address}]::bytea[])
"""
HASH = "sha256('x')"


@pytest.fixture
def guest(database: Database) -> str:
    """One guest of an active organization; gates are asked as superuser."""
    database.execute(f"SELECT create_organization('{A}', 'A', 'Europe/Berlin')", "wedsync_ops")
    guest = str(uuid.uuid4())
    database.execute(
        "INSERT INTO public.guests (organization_id, guest_id, name, email, email_hash)"
        f" VALUES ('{A}', '{guest}', 'Guest', 'x@example.org', {HASH})"
    )
    return guest


def reason(database: Database, guest: str, **changes: str) -> object:
    values = {
        "organization": A, "channel": "email", "category": "transactional", "basis": "contract",
        "guest": guest, "address": HASH,
    }  # fmt: skip
    return database.value(GATES.format(**(values | changes)))


def suppress(database: Database, scope: str, expires: str = "NULL") -> None:
    database.execute(
        "INSERT INTO public.suppressions (organization_id, channel, address_hash, scope, reason,"
        f" expires_at) VALUES ('{A}', 'email', {HASH}, '{scope}', 'unsubscribe', {expires})"
    )


def wish(database: Database, guest: str, columns: str, values: str) -> None:
    database.execute(
        "INSERT INTO public.communication_preferences"
        f" (organization_id, guest_id, channel, {columns})"
        f" VALUES ('{A}', '{guest}', 'email', {values})"
    )


def test_nothing_forbids_it(database: Database, guest: str) -> None:
    assert reason(database, guest) is None


def test_without_an_address(database: Database, guest: str) -> None:
    assert reason(database, guest, address="NULL") == "no_address"
    assert reason(database, guest, address="NULL", channel="in_app") is None


def test_a_suppressed_address(database: Database, guest: str) -> None:
    suppress(database, "all")
    assert reason(database, guest) == "suppressed:unsubscribe"
    assert reason(database, guest, channel="sms") is None
    assert reason(database, guest, address="sha256('y')") is None


def test_commercial_messages_alone(database: Database, guest: str) -> None:
    suppress(database, "commercial")
    assert reason(database, guest) is None
    assert reason(database, guest, category="commercial", basis="legitimate_interest") == (
        "suppressed:unsubscribe"
    )


def test_an_expired_suppression(database: Database, guest: str) -> None:
    suppress(database, "all", "now() - interval '1 second'")
    assert reason(database, guest) is None


@pytest.mark.parametrize(("given", "expected"), [("true", None), ("false", "no_consent")])
def test_consent(database: Database, guest: str, given: str, expected: str | None) -> None:
    assert reason(database, guest, basis="consent") == "no_consent"
    database.execute(
        f"""
        SET session_replication_role = replica;
        INSERT INTO public.communication_gdpr_consent (organization_id, address_hash, channel,
            purpose, consent_event_id, consent_given, given_at, withdrawn_at)
        VALUES ('{A}', {HASH}, 'email', 'updates', gen_random_uuid(), {given}, now(), now())
        """
    )
    assert reason(database, guest, basis="consent") == expected
    assert reason(database, guest, basis="consent", channel="sms") == "no_consent"
    assert reason(database, guest) is None


def test_a_channel_that_the_guest_does_not_want(database: Database, guest: str) -> None:
    wish(database, guest, "allowed", "false")
    assert reason(database, guest) == "not_allowed"


@pytest.mark.parametrize(
    ("cap", "expected"), [(0, "frequency_cap"), (1, "frequency_cap"), (2, None)]
)
def test_a_frequency_cap(database: Database, guest: str, cap: int, expected: str | None) -> None:
    """One message was handed over today, one yesterday."""
    wish(database, guest, "max_messages, per_interval", f"{cap}, '1 day'")
    for hours in (1, 25):
        database.execute(
            f"""
            SET session_replication_role = replica;
            WITH key AS (SELECT internal.uuid_v7() AS id)
            INSERT INTO public.communication_recipients (organization_id, id, communication_id,
                communication_created_at, guest_id, recipient_key, channel, status, sending_at,
                lawful_basis)
            SELECT '{A}', id, id, internal.uuid_v7_time(id), '{guest}', '{guest}', 'email', 'sent',
                now() - interval '{hours} hours', 'contract' FROM key
            """
        )
    assert reason(database, guest) == expected


def test_an_erased_guest(database: Database, guest: str) -> None:
    database.execute(
        "UPDATE public.guests SET erased_at = now(), name = NULL, email = NULL, email_hash = NULL"
    )
    assert reason(database, guest) == "guest_erased"


@pytest.mark.parametrize("state", ["suspended", "closed"])
def test_an_organization_that_is_not_active(database: Database, guest: str, state: str) -> None:
    database.execute(f"UPDATE public.organizations SET state = '{state}'")
    assert reason(database, guest) == "organization_inactive"


def test_the_first_reason_counts(database: Database, guest: str) -> None:
    suppress(database, "all")
    wish(database, guest, "allowed", "false")
    database.execute("UPDATE public.organizations SET state = 'closed'")
    assert reason(database, guest, basis="consent") == "suppressed:unsubscribe"


@pytest.mark.parametrize(
    ("now", "zone", "window", "quiet", "expected"),
    [
        ("2026-06-01 12:00+02", "Europe/Berlin", None, None, "2026-06-01 12:00+02"),
        ("2026-06-01 07:59+02", "Europe/Berlin", ("08:00", "20:00"), None, "2026-06-01 08:00+02"),
        ("2026-06-01 08:00+02", "Europe/Berlin", ("08:00", "20:00"), None, "2026-06-01 08:00+02"),
        ("2026-06-01 20:00+02", "Europe/Berlin", ("08:00", "20:00"), None, "2026-06-02 08:00+02"),
        ("2026-06-01 23:00+02", "Europe/Berlin", None, ("22:00", "07:00"), "2026-06-02 07:00+02"),
        ("2026-06-01 03:00+02", "Europe/Berlin", None, ("22:00", "07:00"), "2026-06-01 07:00+02"),
        ("2026-06-01 03:00+02", "Europe/Berlin", ("22:00", "06:00"), None, "2026-06-01 03:00+02"),
        ("2026-06-01 12:00+02", "Europe/Berlin", ("22:00", "06:00"), None, "2026-06-01 22:00+02"),
        # The window begins in quiet hours: their end counts.
        ("2026-06-01 21:00+02", "Europe/Berlin", ("06:00", "20:00"), ("22:00", "07:00"),
         "2026-06-02 07:00+02"),
        # The window lies in quiet hours: they count alone.
        ("2026-06-01 21:00+02", "Europe/Berlin", ("23:00", "02:00"), ("20:00", "07:00"),
         "2026-06-02 07:00+02"),
        ("2026-06-01 03:00+00", "America/New_York", ("08:00", "21:00"), None,
         "2026-06-01 12:00+00"),
        # Clocks go from 02:00 to 03:00: half past two does not exist.
        ("2026-03-29 01:00+01", "Europe/Berlin", ("02:30", "20:00"), None, "2026-03-29 03:00+02"),
        ("2026-03-28 23:00+01", "Europe/Berlin", None, ("22:00", "07:00"), "2026-03-29 07:00+02"),
        # Clocks go back from 03:00 to 02:00: half past two comes twice.
        ("2026-10-25 01:00+02", "Europe/Berlin", ("02:30", "20:00"), None, "2026-10-25 02:30+02"),
        ("2026-10-24 23:00+02", "Europe/Berlin", None, ("22:00", "07:00"), "2026-10-25 07:00+01"),
    ],
)  # fmt: skip
def test_the_next_allowed_moment(
    database: Database,
    now: str,
    zone: str,
    window: tuple[str, str] | None,
    quiet: tuple[str, str] | None,
    expected: str,
) -> None:
    times = [
        time.fromisoformat(one) if one else None
        for one in (*(window or (None,) * 2), *(quiet or (None,) * 2))
    ]
    with database.connect() as connection:
        row = connection.execute(
            "SELECT internal.next_allowed_at(%s, %s, %s, %s, %s, %s)",
            (datetime.fromisoformat(now), zone, *times),
        ).fetchone()
    assert row is not None
    assert row[0] == datetime.fromisoformat(expected)
