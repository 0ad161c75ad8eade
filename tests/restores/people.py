"""An organization with guests, messages that wait for them, and what the queue gives out."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

import psycopg

from tests.ops.cluster.harness import Cluster

MAKE = (
    "SELECT id::text FROM create_communication(%s, 'Hello', 'email', 'offers',"
    " p_subject => 'Hello', p_body => 'Hello', p_lawful_basis => 'consent')"
)
CLAIM = (
    "SELECT batch_id, lease_token::text, recipient_ids::text[], organization_id::text"
    " FROM claim_batches('story', 100, '5 minutes', 100)"
)

Application = psycopg.Connection[tuple[Any, ...]]


def application(cluster: Cluster) -> Application:
    """A connection of the application, through the front door."""
    return psycopg.connect(cluster.dsn("--role", "app"), autocommit=True)


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
    worker = psycopg.conninfo.conninfo_to_dict(cluster.dsn("--role", "worker"))["user"]
    cluster.query(f"SELECT set_login_unrestricted('{worker}', true, 'tests')", "--role", "ops")
    return made


def invite(app: Application, organization: str, names: Iterable[str]) -> dict[str, str]:
    """Make guests who consented to be written to; return their ids by name."""
    wanted = list(names)
    app.execute("SELECT create_consent_text(%s, '1', 'Yes.')", [organization])
    people = [{"name": name, "email": address(name), "external_id": name} for name in wanted]
    rows = app.execute(
        "SELECT place, guest_id::text FROM upsert_guests(%s, %s)",
        [organization, json.dumps(people)],
    ).fetchall()
    for name in wanted:
        consent = "SELECT record_consent(%s, %s, 'email', 'offers', '1', 'form')"
        app.execute(consent, [organization, address(name)])
    return {wanted[place - 1]: guest for place, guest in rows}


def queue(app: Application, organization: str, guests: list[str]) -> None:
    """Queue a message to guests."""
    row = app.execute(MAKE, [organization]).fetchone()
    assert row is not None
    send = "SELECT accepted FROM bulk_send(%s, %s, %s::uuid[])"
    assert app.execute(send, [organization, row[0], guests]).fetchone() == (len(guests),)


def claimed(cluster: Cluster) -> list[str]:
    """Whose messages the queue gives out now."""
    with psycopg.connect(cluster.dsn("--role", "worker"), autocommit=True) as worker:
        ids = [one for chunk in worker.execute(CLAIM).fetchall() for one in chunk[2]]
    if not ids:
        return []
    wanted = ", ".join(f"'{one}'" for one in ids)
    query = f"SELECT recipient_name FROM communication_recipients WHERE id IN ({wanted})"
    return sorted(str(row[0]) for row in cluster.query(query, "--role", "ops"))
