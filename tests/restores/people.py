"""An organization with guests, messages that wait for them, and what the queue gives out."""

from __future__ import annotations

import json
import uuid
from collections.abc import Container, Iterable
from typing import Any, NamedTuple

import psycopg

from tests.ops.cluster.harness import Cluster

MAKE = (
    "SELECT id::text FROM create_communication(%s, 'Hello', 'email', 'offers',"
    " p_subject => 'Hello', p_body => 'Hello', p_lawful_basis => 'consent')"
)
CLAIM = (
    "SELECT organization_id::text, batch_id, lease_token::text, recipient_ids::text[]"
    " FROM claim_batches('story', 100, %s, 1000)"
)
CONSENT = {"channel": "email", "purpose": "offers", "consent_version": "1", "method": "form"}

Connection = psycopg.Connection[tuple[Any, ...]]


class Chunk(NamedTuple):
    """Messages that a worker has in hand: `recipients` are their ids."""

    organization: str
    batch: str
    lease: str
    recipients: list[str]


def application(cluster: Cluster) -> Connection:
    """A connection of the application, through the front door."""
    return psycopg.connect(cluster.dsn("--role", "app"), autocommit=True)


def worker(cluster: Cluster) -> Connection:
    """A connection of a worker, through the front door."""
    return psycopg.connect(cluster.dsn("--role", "worker"), autocommit=True)


def address(name: str) -> str:
    """The address of a guest."""
    return f"{name.replace(' ', '.')}@example.com"


def found(cluster: Cluster) -> str:
    """Found an organization, and let the worker serve it; return its id."""
    made = str(uuid.uuid4())
    cluster.query(
        f"SELECT create_organization('{made}', 'Ours', 'UTC',"
        " ARRAY[(SELECT rolname FROM pg_roles WHERE rolname LIKE 'wedsync_app%' LIMIT 1)])",
        "--role", "ops",
    )  # fmt: skip
    login = psycopg.conninfo.conninfo_to_dict(cluster.dsn("--role", "worker"))["user"]
    cluster.query(f"SELECT set_login_unrestricted('{login}', true, 'tests')", "--role", "ops")
    return made


def invite(app: Connection, organization: str, names: Iterable[str]) -> dict[str, str]:
    """Make guests who consented to be written to; return their ids by name."""
    wanted = list(names)
    app.execute("SELECT create_consent_text(%s, '1', 'Yes.')", [organization])
    people = [{"name": name, "email": address(name), "external_id": name} for name in wanted]
    rows = app.execute(
        "SELECT place, guest_id::text FROM upsert_guests(%s, %s)",
        [organization, json.dumps(people)],
    ).fetchall()
    consents = [{"address": address(name)} for name in wanted]
    given = app.execute(
        "SELECT count(*) FROM record_consents(%s, %s, %s)",
        [organization, json.dumps(consents), json.dumps(CONSENT)],
    ).fetchone()
    assert given == (len(wanted),)
    return {wanted[place - 1]: guest for place, guest in rows}


def queue(app: Connection, organization: str, guests: list[str]) -> dict[str, str]:
    """Queue a message to guests; return its recipients by guest."""
    row = app.execute(MAKE, [organization]).fetchone()
    assert row is not None
    send = "SELECT accepted FROM bulk_send(%s, %s, %s::uuid[])"
    assert app.execute(send, [organization, row[0], guests]).fetchone() == (len(guests),)
    with app.transaction():
        app.execute("SELECT enter_tenant(%s)", [organization])
        recipients: dict[str, str] = dict(app.execute(
            "SELECT guest_id::text, id::text FROM communication_recipients"
            " WHERE communication_id = %s", [row[0]],
        ).fetchall())  # fmt: skip
    return recipients


def claim(connection: Connection, lease: str) -> list[Chunk]:
    """What the queue gives to a worker now, and for how long."""
    return [Chunk(*row) for row in connection.execute(CLAIM, [lease]).fetchall()]


def answer(connection: Connection, chunk: Chunk, sent: Container[str]) -> None:
    """Tell of the recipients in `sent` that they were sent, of others that nothing was tried."""
    results = [
        {"recipient_id": one, "outcome": "sent", "provider": "smtp"}
        if one in sent
        else {"recipient_id": one, "outcome": "not_attempted"}
        for one in chunk.recipients
    ]
    connection.execute(
        "SELECT complete_batch(%s, %s, %s, %s)",
        [chunk.organization, chunk.batch, chunk.lease, json.dumps(results)],
    )


def claimed(cluster: Cluster) -> list[str]:
    """Whose messages the queue gives out until it has none; each is answered for as sent."""
    ids: list[str] = []
    with worker(cluster) as connection:
        while chunks := claim(connection, "5 minutes"):
            for chunk in chunks:
                answer(connection, chunk, chunk.recipients)
                ids += chunk.recipients
    if not ids:
        return []
    names: dict[str, str | None] = dict(cluster.query(
        "SELECT id::text, recipient_name FROM communication_recipients"
        f" WHERE id IN ({listed(ids)})", "--role", "ops",
    ))  # fmt: skip
    return sorted(str(names[one]) for one in ids)


def listed(ids: Iterable[str]) -> str:
    """Ids as a list of SQL."""
    return ", ".join(f"'{one}'" for one in ids)
