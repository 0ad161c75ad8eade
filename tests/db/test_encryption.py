"""AES-256-GCM in the database: what goes in comes out, and nothing that was touched does."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from guestcomms import db

from tests.db.server import Database, Server

KEY = bytes(range(32))


def call(database: Database, function: str, *arguments: bytes) -> bytes:
    places = ", ".join(["%s"] * len(arguments))
    with database.connect() as connection:
        query = f"SELECT internal.{function}({places})".encode()
        return bytes(db.one_value(connection, query, arguments))


def sqlstate(database: Database, function: str, *arguments: bytes) -> str | None:
    with pytest.raises(db.DatabaseError) as refusal:
        call(database, function, *arguments)
    assert KEY.hex() not in str(refusal.value)
    return refusal.value.sqlstate


@pytest.mark.parametrize("text", [b"", b"x", "Grüße 🎉".encode(), bytes(1_000_000)])
def test_a_round_trip(database: Database, text: bytes) -> None:
    sealed = call(database, "aes256_gcm_encrypt", KEY, text, b"row 1")
    assert len(sealed) == len(text) + 28
    assert call(database, "aes256_gcm_decrypt", KEY, sealed, b"row 1") == text


def test_it_is_the_standard_and_no_other(database: Database) -> None:
    """An independent implementation opens what ours sealed, and the reverse."""
    sealed = call(database, "aes256_gcm_encrypt", KEY, b"secret", b"row 1")
    assert AESGCM(KEY).decrypt(sealed[:12], sealed[12:], b"row 1") == b"secret"
    made = bytes(12) + AESGCM(KEY).encrypt(bytes(12), b"secret", b"row 1")
    assert call(database, "aes256_gcm_decrypt", KEY, made, b"row 1") == b"secret"


def test_equal_texts_look_different(database: Database) -> None:
    sealed = {call(database, "aes256_gcm_encrypt", KEY, b"same", b"row") for _ in range(50)}
    assert len({one[:12] for one in sealed}) == 50


def test_what_was_touched_does_not_open(database: Database) -> None:
    sealed = call(database, "aes256_gcm_encrypt", KEY, b"secret", b"row 1")
    for position in range(len(sealed)):
        touched = bytearray(sealed)
        touched[position] ^= 1
        assert sqlstate(database, "aes256_gcm_decrypt", KEY, bytes(touched), b"row 1") == "GC202"
    assert sqlstate(database, "aes256_gcm_decrypt", KEY, sealed, b"row 2") == "GC202"
    assert sqlstate(database, "aes256_gcm_decrypt", bytes(32), sealed, b"row 1") == "GC202"
    assert sqlstate(database, "aes256_gcm_decrypt", KEY, sealed[:20], b"row 1") == "GC202"


@pytest.mark.parametrize("key", [b"", bytes(16), bytes(31), bytes(33)])
def test_a_key_of_another_length_is_refused(database: Database, key: bytes) -> None:
    assert sqlstate(database, "aes256_gcm_encrypt", key, b"x", b"") == "GC201"
    assert sqlstate(database, "aes256_gcm_decrypt", key, bytes(40), b"") == "GC201"
    assert sqlstate(database, "wrap_key", key, b"") == "GC201"


def test_a_wrapped_key_comes_back_for_its_own_row_only(database: Database) -> None:
    wrapped = call(database, "wrap_key", KEY, b"key 7")
    assert KEY not in wrapped
    assert call(database, "unwrap_key", wrapped, b"key 7") == KEY
    assert sqlstate(database, "unwrap_key", wrapped, b"key 8") == "GC202"
    assert sqlstate(database, "unwrap_key", bytes(60), b"key 7") == "GC202"
    assert sqlstate(database, "unwrap_key", wrapped[:-1], b"key 7") == "GC202"


@pytest.mark.parametrize("content", [None, "", "no base64!", "c2hvcnQ="])
def test_without_a_usable_key_file_nothing_is_wrapped(
    database: Database, server: Server, content: str | None
) -> None:
    path = "/etc/guestcomms/keys/key_encryption_key"
    server.run("cp", "-p", path, f"{path}.kept")
    try:
        server.run("rm", "-f", path)
        if content is not None:
            server.run("sh", "-c", f"printf '%s' '{content}' > {path}")
        assert sqlstate(database, "wrap_key", KEY, b"x") == "GC203"
        assert sqlstate(database, "unwrap_key", bytes(60), b"x") == "GC203"
    finally:
        server.run("mv", "-f", f"{path}.kept", path)


def test_no_setting_leads_to_another_key_file(database: Database) -> None:
    """A session that could name the file could have keys wrapped under one that it knows."""
    with database.connect() as connection:
        bodies = connection.execute(
            "SELECT prosrc FROM pg_proc WHERE proname IN ('wrap_key', 'unwrap_key')"
        ).fetchall()
    assert all("current_setting" not in body and "GD" not in body for (body,) in bodies)
