"""Keys: what is wrapped opens where it belongs and nowhere else, and rotation loses nothing."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from guestcomms import db

from tests.db import script
from tests.db.queue_calls import queue
from tests.db.server import Database, Server

A = "018f0000-0000-7000-8000-000000000001"
B = "018f0000-0000-7000-8000-000000000002"
ROW = "018f0000-0000-7000-8000-00000000000a"
KEY_FILE = "/etc/guestcomms/keys/key_encryption_key"
MANUAL = script.manual(20)
SEAL = """
SELECT internal.aes256_gcm_encrypt(made.key, %(text)s,
    internal.field_context(%(organization)s, %(column)s, %(row)s, made.key_version)),
    made.key_version
FROM internal.field_key(%(organization)s) AS made
"""
OPEN = """
SELECT internal.aes256_gcm_decrypt(internal.field_key_of(%(organization)s, %(version)s), %(sealed)s,
    internal.field_context(%(organization)s, %(column)s, %(row)s, %(version)s))
"""
MOVE_KEY = """
UPDATE communication_encryption_keys AS one SET encrypted_key = other.encrypted_key
FROM communication_encryption_keys AS other
WHERE one.key_id = 'fields_1' AND other.key_id = 'fields_1'
    AND one.organization_id < other.organization_id
"""
INSERT = """
INSERT INTO communication_encryption_keys (key_id, key_type, encrypted_key, key_version)
VALUES ('mine', '{}', {}, 9)
"""
ROTATE = "SELECT * FROM rotate_encryption_keys({})"
PLACE = {"organization": A, "column": "communication_recipients.personalisation", "row": ROW}
KEYS = """
SELECT key_id, key_type, purpose, parent_key_id, key_version, state
FROM communication_encryption_keys WHERE organization_id = %s AND key_type = %s ORDER BY key_version
"""


@pytest.fixture
def two(database: Database) -> Database:
    """Two organizations; wedsync_app serves the first."""
    database.execute(f"SELECT create_organization('{A}', 'A', 'UTC', '{{wedsync_app}}')")
    database.execute(f"SELECT create_organization('{B}', 'B')")
    return database


def seal(database: Database, text: bytes = b"secret", **place: str) -> tuple[bytes, int]:
    """Encrypt a field as functions of comms_maintenance do."""
    with database.connect("guestcomms_cron") as connection:
        row = connection.execute(SEAL, {**PLACE, **place, "text": text}).fetchone()
    assert row is not None
    return bytes(row[0]), int(row[1])


def unseal(database: Database, sealed: tuple[bytes, int], **place: str) -> bytes:
    with database.connect("guestcomms_cron") as connection:
        values = {**PLACE, **place, "sealed": sealed[0], "version": sealed[1]}
        row = connection.execute(OPEN, values).fetchone()
    assert row is not None
    return bytes(row[0])


def keys(database: Database, organization: str, key_type: str) -> list[dict[str, Any]]:
    with database.connect("wedsync_ops") as connection:
        return db.rows(connection, KEYS, (organization, key_type))


def rotate(database: Database, arguments: str) -> dict[str, Any]:
    with database.connect("wedsync_ops") as connection:
        return db.rows(connection, ROTATE.format(arguments).encode())[0]


def sqlstate(database: Database, statement: str, login: str = "wedsync_ops") -> str | None:
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute(statement, login)
    return refusal.value.sqlstate


@contextmanager
def another_machine(server: Server) -> Iterator[None]:
    """A machine to which everything was brought but the key-encryption key."""
    server.run("mv", KEY_FILE, f"{KEY_FILE}.kept")
    server.run("sh", "-c", f"head -c 32 /dev/urandom | base64 > {KEY_FILE}")
    try:
        yield
    finally:
        server.run("mv", "-f", f"{KEY_FILE}.kept", KEY_FILE)


NIL = "00000000-0000-0000-0000-000000000000"


def test_what_was_sealed_opens(two: Database) -> None:
    assert unseal(two, seal(two)) == b"secret"


@pytest.mark.parametrize(
    "place", [{"row": B}, {"column": "guests.name"}, {"organization": B}], ids=str
)
def test_what_was_moved_does_not_open(two: Database, place: dict[str, str]) -> None:
    sealed = seal(two)
    seal(two, organization=B)  # so that both have a key of this version
    with pytest.raises(db.DatabaseError) as refusal:
        unseal(two, sealed, **place)
    assert refusal.value.sqlstate == "GC202"


def test_a_wrapped_key_moved_to_another_organization_is_refused(two: Database) -> None:
    seal(two)
    seal(two, organization=B)
    assert sqlstate(two, MOVE_KEY, "postgres") == "GC210"


def test_a_stolen_database_without_the_key_file_does_not_open(
    two: Database, server: Server
) -> None:
    sealed = seal(two)
    with another_machine(server):
        with pytest.raises(db.DatabaseError) as refusal:
            unseal(two, sealed)
        assert refusal.value.sqlstate == "GC202"
        assert {row["state"] for row in status(two)} == {"failed", "ok"}
    assert unseal(two, sealed) == b"secret"


def test_a_dump_holds_no_key(two: Database) -> None:
    """Neither the key-encryption key nor what it protects, in any spelling."""
    seal(two, b"nobody finds this")
    with two.connect() as connection:
        opened = [
            bytes(row[0])
            for row in connection.execute(
                "SELECT internal.master_key(internal.active_master())"
                " UNION ALL SELECT key FROM internal.field_key(%s)",
                (A,),
            ).fetchall()
        ]
    dump = two.dump()
    assert all(key.hex() not in dump for key in opened)
    assert two.server.run("cat", KEY_FILE).strip() not in dump


def status(database: Database) -> list[dict[str, Any]]:
    with database.connect("wedsync_ops") as connection:
        return db.rows(connection, "SELECT * FROM encryption_status()")


def test_the_manual_makes_a_new_master(two: Database) -> None:
    sealed = seal(two)
    two.execute(MANUAL, "wedsync_ops")
    masters = keys(two, NIL, "master")
    assert [(row["key_version"], row["state"]) for row in masters] == [
        (1, "decrypt_only"),
        (2, "active"),
    ]
    assert re.fullmatch(r"master_key_\d{6}", masters[1]["key_id"])
    assert unseal(two, sealed) == b"secret"


def test_whoever_made_a_master_does_not_know_it(two: Database) -> None:
    chosen = bytes(range(32))
    with two.connect("wedsync_ops") as connection:
        connection.execute(
            "INSERT INTO communication_encryption_keys (key_id, key_type, encrypted_key,"
            " key_version) VALUES ('mine', 'master', encrypt_key(%s), 1)",
            (chosen,),
        )
    with two.connect() as connection:
        assert bytes(db.one_value(connection, "SELECT internal.master_key('mine')")) != chosen


@pytest.mark.parametrize(
    "value",
    [
        "generate_random_key() || generate_random_key()",
        "substr(generate_random_key() || generate_random_key(), 1, 60)",
        "(SELECT encrypted_key FROM communication_encryption_keys WHERE key_type = 'master')",
    ],
)
def test_a_value_that_does_not_open_is_no_key(two: Database, value: str) -> None:
    seal(two)
    assert sqlstate(two, INSERT.format("master", value)) == "GC210"


def test_operations_adds_no_data_key(two: Database) -> None:
    insert = INSERT.format("data", "encrypt_key(generate_random_key())")
    assert sqlstate(two, insert) == "GC211"
    assert keys(two, NIL, "data") == []


def test_a_rotation_of_the_master_is_resumed(two: Database) -> None:
    sealed = [seal(two), seal(two, organization=B)]
    two.execute(MANUAL, "wedsync_ops")
    newest = keys(two, NIL, "master")[-1]["key_id"]
    assert rotate(two, "'master', '1 day', 1") == {
        "key_type": "master", "new_keys": 0, "rewrapped": 1, "remaining": 1,
    }  # fmt: skip
    assert "attention" in {row["state"] for row in status(two)}
    with two.connect() as connection:
        connection.execute("BEGIN")
        assert connection.execute(
            "SELECT rewrapped FROM rotate_encryption_keys('master')"
        ).fetchone()
        connection.execute("ROLLBACK")  # a call that was interrupted
    assert rotate(two, "'master'")["rewrapped"] == 1
    assert rotate(two, "'master'") == {
        "key_type": "master", "new_keys": 0, "rewrapped": 0, "remaining": 0,
    }  # fmt: skip
    assert {row["parent_key_id"] for row in keys(two, A, "data")} == {newest}
    assert {row["state"] for row in status(two)} == {"ok"}
    assert unseal(two, sealed[0]) == unseal(two, sealed[1], organization=B) == b"secret"


def test_two_rotations_leave_each_other_alone(two: Database) -> None:
    for organization in (A, B):
        seal(two, organization=organization)
    rotate(two, "'master', '0', 1")
    with two.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL ROLE comms_maintenance")
        assert db.one_value(connection, "SELECT internal.rewrap_data_keys(1)") == 1
        assert rotate(two, "'master'")["rewrapped"] == 0  # at once: the row is in other hands
    assert rotate(two, "'master'")["remaining"] == 0


def test_a_rotation_of_data_keys_leaves_old_texts_readable(two: Database) -> None:
    old = seal(two)
    hashed = address_hash(two, "email", "a@example.com")
    assert rotate(two, "'data'")["new_keys"] == 0  # younger than a day
    assert rotate(two, "'data', '0', 1")["new_keys"] == 1
    assert rotate(two, "'data'")["new_keys"] == 0  # repeated
    new = seal(two)
    assert (old[1], new[1]) == (1, 2)
    assert unseal(two, old) == unseal(two, new) == b"secret"
    assert address_hash(two, "email", "a@example.com") == hashed
    assert [row["state"] for row in keys(two, A, "data") if row["purpose"] == "fields"] == [
        "decrypt_only", "active",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("NULL", "GC213"), ("'backup'", "GC213"), ("'x'", "GC213"),
        ("'data', NULL", "GC214"), ("'data', '-1 day'", "GC214"), ("'data', '0', 0", "GC214"),
    ],
)  # fmt: skip
def test_nonsense_is_not_rotated(two: Database, arguments: str, code: str) -> None:
    assert sqlstate(two, f"SELECT rotate_encryption_keys({arguments})") == code


def test_the_first_use_by_many_makes_one_key(two: Database) -> None:
    with ThreadPoolExecutor(8) as threads:
        sealed = list(threads.map(lambda _: seal(two), range(8)))
    assert len(keys(two, A, "data")) == len(keys(two, NIL, "master")) == 1
    assert {unseal(two, one) for one in sealed} == {b"secret"}


def test_a_tenant_function_gets_keys_of_the_organization_it_entered(two: Database) -> None:
    seal(two, organization=B)
    two.execute(
        "CREATE FUNCTION public.probe(entered uuid, wanted uuid) RETURNS bytea LANGUAGE plpgsql"
        " SECURITY DEFINER AS 'BEGIN PERFORM public.enter_tenant(entered);"
        " RETURN (SELECT key FROM internal.field_key(wanted)); END';"
        " ALTER FUNCTION public.probe OWNER TO comms_owner;"
        " GRANT EXECUTE ON FUNCTION public.probe TO comms_app"
    )
    assert two.value(f"SELECT length(public.probe('{A}', '{A}'))", "wedsync_app") == 32
    assert sqlstate(two, f"SELECT public.probe('{A}', '{B}')", "wedsync_app") == "42501"


@pytest.mark.parametrize("login", ["wedsync_ops", "wedsync_app", "wedsync_worker"])
@pytest.mark.parametrize(
    "call",
    ["field_key('{A}')", "field_key_of('{A}', 1)", "data_key('{A}', 'fields')", "master_key('x')",
     "address_hash_pads('{A}')", "unwrap_key('x', 'y')"],
)  # fmt: skip
def test_nobody_gets_a_key(two: Database, login: str, call: str) -> None:
    with pytest.raises(db.sqlstates.InsufficientPrivilege):
        two.execute(f"SELECT internal.{call.replace('{A}', A)}", login)


def address_hash(database: Database, channel: str, address: str, organization: str = A) -> bytes:
    with database.connect("guestcomms_cron") as connection:
        values = (organization, channel, address)
        return bytes(db.one_value(connection, "SELECT internal.address_hash(%s, %s, %s)", values))


def test_an_address_hash_is_the_standard_hmac(two: Database) -> None:
    hashed = address_hash(two, "email", " Zoë@Example.COM ")
    with two.connect() as connection:
        query = "SELECT key FROM internal.data_key(%s, 'address_hash')"
        key = bytes(db.one_value(connection, query, (A,)))
    assert hashed == hmac.digest(key, "email:zoë@example.com".encode(), hashlib.sha256)
    assert hashed != address_hash(two, "push", "zoë@example.com")
    assert hashed != address_hash(two, "email", "zoë@example.com", B)


@pytest.mark.parametrize(
    ("channel", "address", "normal"),
    [
        ("email", " Ann.B+x@EXAMPLE.com ", "ann.b+x@example.com"),
        ("email", "ÄNN@example.com", "änn@example.com"),
        ("sms", "0049 (30) 12-34.5", "+493012345"),
        ("sms", "+49 30 12345", "+493012345"),
        ("push", " Token ", " Token "),
    ],
)
def test_one_spelling_of_an_address(
    database: Database, channel: str, address: str, normal: str
) -> None:
    with database.connect() as connection:
        query = "SELECT internal.normalise_address(%s, %s)"
        assert db.one_value(connection, query, (channel, address)) == normal


def test_the_hash_is_inlined(database: Database) -> None:
    """A call of the function for each address would cost more than the hash."""
    with database.connect() as connection:
        plan = connection.execute(
            "EXPLAIN (VERBOSE) SELECT internal.keyed_hash('i', 'o', g::text)"
            " FROM generate_series(1, 9) AS g"
        ).fetchall()
    assert not any("keyed_hash" in str(line) for line in plan)


def test_destroyed_keys_open_nothing_and_none_are_made_again(two: Database) -> None:
    sealed, other = seal(two), seal(two, organization=B)
    two.execute(f"SELECT bind_login('{A}', 'wedsync_app')")
    count = len(keys(two, A, "data"))
    destroy = f"SELECT destroy_organization_keys('{A}', 'A')"
    assert two.value(destroy, "wedsync_ops") == count > 0
    assert {row["state"] for row in keys(two, A, "data")} == {"destroyed"}
    assert two.value(f"SELECT state FROM organizations WHERE organization_id = '{A}'") == "closed"
    wrapped = "SELECT count(encrypted_key) FROM communication_encryption_keys"
    assert two.value(f"{wrapped} WHERE organization_id = '{A}'") == 0
    with pytest.raises(db.DatabaseError) as refusal:
        unseal(two, sealed)
    assert refusal.value.sqlstate == "GC212"
    for call in (
        f'SELECT upsert_guests(\'{A}\', \'[{{"name": "x", "email": "a@example.com"}}]\')',
        f"SELECT withdraw_consent('{A}', 'a@example.com', 'email', 'x')",
    ):
        assert sqlstate(two, call, "wedsync_app") == "GC217"
    assert unseal(two, other, organization=B) == b"secret"  # nobody else's
    assert two.value(destroy, "wedsync_ops") == 0
    noted = "SELECT details - 'risk' FROM communication_security_audit WHERE details ? 'destroyed'"
    assert two.value(f"{noted} ORDER BY created_at LIMIT 1") == {"destroyed": count}


@pytest.mark.parametrize(
    ("before", "arguments", "code"),
    [
        ("", f"'{A}', 'B'", "GC215"), ("", f"'{ROW}', 'A'", "GC215"), ("", f"'{A}', NULL", "GC300"),
        (f"SELECT place_legal_hold('{A}', 'a dispute')", f"'{A}', 'A'", "GC426"),
    ],
)  # fmt: skip
def test_keys_that_are_needed_are_not_destroyed(
    two: Database, before: str, arguments: str, code: str
) -> None:
    sealed = seal(two)
    if before:
        two.execute(before, "wedsync_app")
    assert sqlstate(two, f"SELECT destroy_organization_keys({arguments})") == code
    assert unseal(two, sealed) == b"secret"


def test_keys_of_queued_messages_are_not_destroyed(two: Database) -> None:
    sealed = seal(two)
    with two.connect() as owner:
        queue(owner, A, 3, run_in="1 year")
    assert sqlstate(two, f"SELECT destroy_organization_keys('{A}', 'A')") == "GC216"
    assert unseal(two, sealed) == b"secret"


def rewrap(database: Database, old: str) -> dict[str, Any]:
    """As operations does it; `old` in base64, as the file has it."""
    with database.connect("wedsync_ops") as connection:
        query = "SELECT * FROM rewrap_master_keys(decode(%s, 'base64'))"
        return db.rows(connection, query, (old,))[0]


def test_the_key_encryption_key_can_be_replaced(two: Database, server: Server) -> None:
    sealed = seal(two)
    rotate(two, "'master', '0 seconds'")
    old = server.run("cat", KEY_FILE)
    with another_machine(server):
        assert {row["state"] for row in status(two)} == {"failed", "ok"}
        wrong = server.run("sh", "-c", "head -c 32 /dev/urandom | base64")
        assert rewrap(two, wrong) == {"rewrapped": 0, "already_open": 0, "closed": 2}
        assert rewrap(two, old) == {"rewrapped": 2, "already_open": 0, "closed": 0}
        assert rewrap(two, old) == {"rewrapped": 0, "already_open": 2, "closed": 0}
        assert "failed" not in {row["state"] for row in status(two)}
        assert unseal(two, sealed) == b"secret"
        new = server.run("cat", KEY_FILE)
    assert rewrap(two, new)["rewrapped"] == 2  # and back
    assert unseal(two, sealed) == b"secret"
    assert sqlstate(two, "SELECT rewrap_master_keys('short')") == "GC201"
    assert sqlstate(two, "SELECT rewrap_master_keys(NULL)") == "GC300"
    assert sqlstate(two, "SELECT rewrap_master_keys('x')", "wedsync_app") == "42501"
