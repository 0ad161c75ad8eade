"""Organizations, guests, communications and recipients, row by row, written by the superuser.

Rows come as they are wanted, also in states that would take the API hours to reach; whole messages
in the queue, and the calls of workers on them, are in `queue_calls`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from guestcomms import db

from tests.db.server import Database

ADDRESS_COLUMN = {"email": "email", "sms": "phone", "push": "push_token"}
RECIPIENT_COLUMN = {
    "email": "recipient_email",
    "sms": "recipient_phone",
    "push": "recipient_device",
}
HASH_COLUMN = {"email": "email_hash", "sms": "phone_hash", "push": "push_hash"}


@dataclass(frozen=True)
class Organization:
    """An organization to which wedsync_app is bound, if not told otherwise."""

    database: Database
    id: str

    def call(self, query: str, *values: object, login: str = "wedsync_app") -> object:
        """The value of a query in one transaction that has entered the organization."""
        with self.database.connect(login) as connection, connection.transaction():
            connection.execute("SELECT public.enter_tenant(%s)", (self.id,))
            return db.one_value(connection, query.encode(), values)


def organization(
    database: Database, name: str = "A", login: str | None = "wedsync_app"
) -> Organization:
    """A new organization; the first call also makes the master key of the database."""
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO public.communication_encryption_keys"
            " (key_id, key_type, encrypted_key, key_version)"
            " SELECT 'master_key_1', 'master', encrypt_key(generate_random_key()), 1"
            " WHERE NOT EXISTS (SELECT FROM public.communication_encryption_keys)"
        )
        made = db.one_value(
            connection,
            "SELECT organization_id FROM public.create_organization(NULL, %s, 'UTC', %s::name[])",
            (name, [login] if login else []),
        )
    return Organization(database, str(made))


def guest(
    of: Organization, address: str = "ann@example.com", channel: str = "email", **columns: object
) -> str:
    """A guest with one address or more; columns of guests as keywords."""
    columns = {"name": "Ann", ADDRESS_COLUMN[channel]: address, **columns}
    with of.database.connect() as connection:
        for kind, column in ADDRESS_COLUMN.items():
            if column in columns:
                columns[HASH_COLUMN[kind]] = db.one_value(
                    connection,
                    "SELECT internal.address_hash(%s, %s, %s)",
                    (of.id, kind, columns[column]),
                )
        return str(_insert(connection, "guests", {"organization_id": of.id, **columns}, "guest_id"))


def communication(of: Organization, created: datetime | None = None, **columns: object) -> str:
    """A communication by e-mail; `created` decides its partition, columns as keywords."""
    identity = uuid_v7(created or datetime.now(UTC))
    columns = {
        "organization_id": of.id,
        "id": identity,
        "message_title": "Save the date",
        "message_type": "email",
        "message_category": "transactional",
        "purpose": "wedding_updates",
        "lawful_basis": "contract",
        "subject": "Save the date",
        "body": "Hello",
        "compiled": json.dumps({"subject": ["Save the date"], "body": ["Hello"]}),
        "status": "sending",
        **columns,
    }
    with of.database.connect() as connection:
        moment = db.one_value(connection, "SELECT internal.uuid_v7_time(%s)", (identity,))
        _insert(connection, "guest_communications", {**columns, "created_at": moment}, "id")
    return identity


def recipients(
    of: Organization,
    communication_id: str,
    addresses: Sequence[str] = ("ann@example.com",),
    channel: str = "email",
    guests: Sequence[str | None] = (),
    **columns: object,
) -> list[str]:
    """Recipients with consecutive ids, queued if not told otherwise; `guests` in the same order."""
    columns = {"lawful_basis": "contract", "status": "queued", **columns}
    first = recipient_ids(communication_id)
    made: list[str] = []
    with of.database.connect() as connection, connection.transaction():
        for number, address in enumerate(addresses):
            guest_id = guests[number] if guests else None
            made.append(f"{first}{number:06x}")
            row: dict[str, object] = {
                "organization_id": of.id,
                "id": made[-1],
                "communication_id": communication_id,
                "guest_id": guest_id,
                "recipient_key": guest_id or str(uuid.uuid4()),
                "channel": channel,
                "recipient_name": "Ann",
                RECIPIENT_COLUMN[channel]: address,
                **columns,
            }
            row["communication_created_at"], row["address_hash"] = connection.execute(
                "SELECT internal.uuid_v7_time(%s), internal.address_hash(%s, %s, %s)",
                (communication_id, of.id, channel, address),
            ).fetchone() or (None, None)
            _insert(connection, "communication_recipients", row, "id")
    return made


def uuid_v7(moment: datetime) -> str:
    """A UUIDv7 of a moment."""
    milliseconds = int(moment.timestamp() * 1000)
    number = milliseconds << 80 | 0x7 << 76 | uuid.uuid4().int >> 116 << 64
    return str(uuid.UUID(int=number | 0x8 << 60 | uuid.uuid4().int >> 68))


def recipient_ids(communication_id: str) -> str:
    """All but the counter of new recipient ids: the moment of their communication, then random."""
    noise = uuid.uuid4().hex
    return f"{communication_id[:13]}-7{noise[:3]}-8{noise[3:6]}-{noise[6:12]}"


def _insert(
    connection: db.Connection, table: str, row: dict[str, object], returning: str
) -> object:
    statement = db.sql.SQL("INSERT INTO public.{} ({}) VALUES ({}) RETURNING {}").format(
        db.sql.Identifier(table),
        db.sql.SQL(", ").join(map(db.sql.Identifier, row)),
        db.sql.SQL(", ").join(db.sql.Placeholder() * len(row)),
        db.sql.Identifier(returning),
    )
    made = connection.execute(statement, list(row.values())).fetchone()
    assert made is not None
    return made[0]
