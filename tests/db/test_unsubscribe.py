"""One-click unsubscribe: the token alone is enough, a forged one is nothing, and again is once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from guestcomms import db

from tests.db import tenant_rows
from tests.db.server import Database
from tests.db.tenant_rows import Organization

TOKEN = "SELECT internal.unsubscribe_token('{}', '{}')"
REASON = "SELECT string_agg(scope || ' ' || reason, ', ') FROM public.suppressions"
STATUSES = (
    "SELECT string_agg(concat_ws(' ', status, suppression_reason), ', ' ORDER BY id)"
    " FROM public.communication_recipients"
)


@pytest.fixture
def ours(database: Database) -> Organization:
    """An organization with one sent message to Ann."""
    made = tenant_rows.organization(database)
    tenant_rows.recipients(made, tenant_rows.communication(made), status="sent")
    return made


def token(of: Organization, recipient_id: object = None) -> str:
    recipient_id = recipient_id or of.database.value(
        "SELECT id FROM public.communication_recipients ORDER BY id LIMIT 1"
    )
    return str(of.database.value(TOKEN.format(of.id, recipient_id)))


def unsubscribe(database: Database, of_token: object, login: str = "wedsync_worker") -> object:
    with database.connect(login) as connection:
        return connection.execute(
            "SELECT organization_id::text, recipient_id::text, channel FROM unsubscribe(%s)",
            (of_token,),
        ).fetchone()


@pytest.mark.parametrize("login", ["wedsync_app", "wedsync_worker"])
def test_a_click_needs_no_tenant(ours: Organization, login: str) -> None:
    ours.database.execute(f"SELECT unbind_login('{ours.id}', 'wedsync_app')", "wedsync_ops")
    answer = unsubscribe(ours.database, token(ours), login)
    recipient = ours.database.value("SELECT id::text FROM public.communication_recipients")
    assert answer == (ours.id, recipient, "email")
    assert ours.database.value(REASON) == "all unsubscribe"
    assert ours.database.value("SELECT unsubscribed_at IS NOT NULL FROM communication_recipients")


def test_everything_queued_for_the_address_is_stopped(ours: Organization) -> None:
    """By this channel, whatever its basis, to a guest who has another address by now as well."""
    ann = tenant_rows.guest(ours, "new@example.com")
    later = tenant_rows.communication(ours)
    tenant_rows.recipients(ours, later, ["ann@example.com", "bob@example.com"])
    tenant_rows.recipients(ours, tenant_rows.communication(ours), guests=[ann], status="sent")
    clicked = tenant_rows.recipients(ours, tenant_rows.communication(ours), guests=[ann])
    tenant_rows.recipients(ours, tenant_rows.communication(ours), ["+4915112345678"], "sms")
    unsubscribe(ours.database, token(ours, clicked[0]))
    assert ours.database.value(STATUSES) == (
        "sent, suppressed suppressed:unsubscribe, queued, sent,"
        " suppressed suppressed:unsubscribe, queued"
    )
    sums = "SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM ({}) AS s"
    inner = "SELECT status, sum(delta) AS n FROM internal.communication_counter_deltas GROUP BY 1"
    assert ours.database.value(sums.format(inner)) == "queued -2, suppressed 2"


def test_consent_for_every_purpose_ends(ours: Organization) -> None:
    ours.call("SELECT create_consent_text(%s, '1', 'Yes.')", ours.id)
    for purpose in ("newsletter", "offers"):
        ours.call(
            "SELECT record_consent(%s, 'ann@example.com', 'email', %s, '1', 'form')::text",
            ours.id,
            purpose,
        )
    unsubscribe(ours.database, token(ours))
    unsubscribe(ours.database, token(ours))
    proof = """
        SELECT string_agg(concat_ws(' ', purpose, method, source), ', ' ORDER BY purpose)
        FROM communication_gdpr_consent_events WHERE event = 'withdrawn'
    """
    source = ours.database.value("SELECT id FROM public.communication_recipients")
    assert ours.database.value(proof) == (
        f"newsletter unsubscribe {source}, offers unsubscribe {source}"
    )
    state = "SELECT bool_or(consent_given) FROM public.communication_gdpr_consent"
    assert ours.database.value(state) is False


def test_a_new_consent_lifts_it_and_an_imported_one_does_not(ours: Organization) -> None:
    ours.call("SELECT create_consent_text(%s, '1', 'Yes.')", ours.id)
    unsubscribe(ours.database, token(ours))
    consent = "SELECT record_consent(%s, 'ann@example.com', 'email', 'offers', '1', %s)::text"
    ours.call(consent, ours.id, "import")
    assert ours.database.value(REASON) == "all unsubscribe"
    ours.call(consent, ours.id, "form")
    assert ours.database.value(REASON) is None


@pytest.mark.parametrize("reason", ["hard_bounce", "complaint", "manual"])
def test_nothing_lifts_what_was_no_wish(ours: Organization, reason: str) -> None:
    """And unsubscribing widens what was meant for commercial messages or for a while."""
    ours.call("SELECT create_consent_text(%s, '1', 'Yes.')", ours.id)
    with ours.database.connect() as connection:
        connection.execute(
            "INSERT INTO suppressions"
            " (organization_id, channel, address_hash, scope, reason, expires_at)"
            " SELECT organization_id, 'email', address_hash, 'commercial', %s,"
            " now() + interval '1 day' FROM communication_recipients",
            (reason,),
        )
    unsubscribe(ours.database, token(ours))
    ours.call(
        "SELECT record_consent(%s, 'ann@example.com', 'email', 'offers', '1', 'form')::text",
        ours.id,
    )
    assert ours.database.value(REASON) == f"all {reason}"
    assert ours.database.value("SELECT expires_at IS NULL FROM suppressions")


def test_fifty_at_once_have_one_effect_and_one_answer(ours: Organization) -> None:
    ours.call("SELECT create_consent_text(%s, '1', 'Yes.')", ours.id)
    ours.call(
        "SELECT record_consent(%s, 'ann@example.com', 'email', 'offers', '1', 'form')::text",
        ours.id,
    )
    tenant_rows.recipients(ours, tenant_rows.communication(ours))
    its = token(ours)
    with ThreadPoolExecutor(50) as pool:
        answers = set(pool.map(lambda _: unsubscribe(ours.database, its), range(50)))
    assert len(answers) == 1
    events = "SELECT count(*) FROM communication_gdpr_consent_events WHERE event = 'withdrawn'"
    assert ours.database.value(events) == 1
    deltas = "SELECT sum(abs(delta)) FROM internal.communication_counter_deltas"
    assert ours.database.value(deltas) == 2
    assert ours.database.value(REASON) == "all unsubscribe"


def test_the_token_is_a_signed_name_as_the_standard_says(ours: Organization) -> None:
    """Checked with Python's HMAC: 16 bytes organization, 16 recipient, 16 of the signature."""
    key = ours.database.value(f"SELECT (internal.data_key('{ours.id}', 'unsubscribe_tokens')).key")
    assert isinstance(key, bytes)
    raw = base64.urlsafe_b64decode(token(ours))
    recipient = uuid.UUID(bytes=raw[16:32])
    assert uuid.UUID(bytes=raw[:16]) == uuid.UUID(ours.id)
    assert raw[32:] == hmac.new(key, str(recipient).encode(), hashlib.sha256).digest()[:16]


def test_a_forged_token_does_nothing(ours: Organization) -> None:
    real = token(ours)
    raw = bytearray(base64.urlsafe_b64decode(real))
    other = tenant_rows.organization(ours.database, "B", login=None)
    foreign = bytearray(raw)
    foreign[:16] = uuid.UUID(other.id).bytes
    forged = [base64.urlsafe_b64encode(bytes(foreign)).decode()]
    for position in range(0, 48, 5):
        touched = bytearray(raw)
        touched[position] ^= 1
        forged.append(base64.urlsafe_b64encode(bytes(touched)).decode())
    forged += ["", " ", "x", "é" * 64, real[:-1], real + "A", real + "\n", "'; --", "=" * 64]
    forged.append(token(ours, uuid.uuid4()))
    forged.append(token(other, uuid.UUID(bytes=bytes(raw[16:32]))))
    with ours.database.connect("wedsync_app") as connection:
        for one in forged:
            with pytest.raises(db.DatabaseError, match="no unsubscribe token") as refusal:
                connection.execute("SELECT unsubscribe(%s)", (one,))
            assert refusal.value.sqlstate == "GC407"
        with pytest.raises(db.DatabaseError) as refusal:
            connection.execute("SELECT unsubscribe(NULL)")
        assert refusal.value.sqlstate == "GC300"
    assert ours.database.value(REASON) is None
    keys = "SELECT count(*) FROM communication_encryption_keys WHERE organization_id = '{}'"
    assert ours.database.value(keys.format(uuid.UUID(bytes=bytes(foreign[:16])))) == 1


def test_the_name_of_the_browser_cannot_stop_it(ours: Organization) -> None:
    ours.call("SELECT create_consent_text(%s, '1', 'Yes.')", ours.id)
    ours.call(
        "SELECT record_consent(%s, 'ann@example.com', 'email', 'offers', '1', 'form')::text",
        ours.id,
    )
    with ours.database.connect("wedsync_app") as connection:
        connection.execute(
            "SELECT unsubscribe(%s, '192.0.2.1', %s)", (token(ours), "\x07" + "x" * 5000)
        )
    assert ours.database.value(REASON) == "all unsubscribe"


def test_a_token_outlives_the_data_of_its_message(ours: Organization) -> None:
    its = token(ours)
    ours.database.execute("UPDATE communication_recipients SET address_hash = NULL")
    assert unsubscribe(ours.database, its) == unsubscribe(ours.database, its)
    assert ours.database.value(REASON) is None


def test_tokens_for_a_chunk_cost_little(ours: Organization) -> None:
    """The key is opened once a statement, not once a recipient."""
    query = """
        SELECT count(DISTINCT internal.unsubscribe_token(inner_pad, outer_pad, '{}', id))
        FROM internal.hash_pads('{}', 'unsubscribe_tokens'),
            LATERAL (SELECT internal.uuid_v7() AS id FROM generate_series(1, 20000)) AS one
    """
    assert ours.database.value(query.format(ours.id, ours.id)) == 20000
