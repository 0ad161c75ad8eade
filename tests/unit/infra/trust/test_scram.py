"""SCRAM verifiers, against the example exchange of RFC 7677 section 3."""

import base64
import hashlib
import hmac

import pytest

from infra.trust.scram import ITERATIONS, scram_verifier

NONCE = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="
EXCHANGE = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={NONCE},s={SALT},i=4096,c=biws,r={NONCE}".encode()
CLIENT_PROOF = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SERVER_SIGNATURE = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def keys(verifier: str) -> tuple[bytes, bytes]:
    """Return the stored key and the server key of a verifier."""
    stored, server = verifier.split("$")[2].split(":")
    return base64.b64decode(stored), base64.b64decode(server)


def test_verifier_proves_the_client_of_the_rfc() -> None:
    stored_key, _ = keys(scram_verifier("pencil", base64.b64decode(SALT)))
    mask = hmac.digest(stored_key, EXCHANGE, "sha256")
    client_key = bytes(a ^ b for a, b in zip(base64.b64decode(CLIENT_PROOF), mask, strict=True))
    assert hashlib.sha256(client_key).digest() == stored_key


def test_verifier_signs_as_the_server_of_the_rfc() -> None:
    _, server_key = keys(scram_verifier("pencil", base64.b64decode(SALT)))
    signature = hmac.digest(server_key, EXCHANGE, "sha256")
    assert base64.b64encode(signature).decode() == SERVER_SIGNATURE


def test_verifier_has_the_form_that_postgresql_recognises() -> None:
    prefix, parameters, stored_keys = scram_verifier("pencil").split("$")
    iterations, salt = parameters.split(":")
    assert prefix == "SCRAM-SHA-256"
    assert int(iterations) == ITERATIONS
    assert len(base64.b64decode(salt)) == 16
    assert [len(base64.b64decode(key)) for key in stored_keys.split(":")] == [32, 32]


def test_every_verifier_has_its_own_salt() -> None:
    assert scram_verifier("pencil") != scram_verifier("pencil")


@pytest.mark.parametrize("password", ["", "pässword", "tab\tinside"])
def test_password_that_would_need_saslprep_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        scram_verifier(password)


def test_fewer_iterations_than_the_rfc_allows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4096 iterations, got 1000"):
        scram_verifier("pencil", iterations=1000)
