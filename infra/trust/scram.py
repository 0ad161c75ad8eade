"""SCRAM-SHA-256 verifiers: what PostgreSQL and PgBouncer keep instead of a password."""

import base64
import hashlib
import hmac
import os

ITERATIONS = 4096
"""RFC 7677's minimum and PostgreSQL's default; more buys nothing for 192 random bits."""

SALT_BYTES = 16


def scram_verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """Return the verifier of `password` in the form of PostgreSQL's `pg_authid.rolpassword`.

    The password must be ASCII: SASLprep leaves ASCII as it is, so none is done here.
    `salt` is random unless given. Source: RFC 5802 section 3, RFC 7677.

    Raises:
        ValueError: the password is empty or holds a character outside printable ASCII,
            or fewer iterations than RFC 7677 allows were asked for.
    """
    if not password or not password.isascii() or not password.isprintable():
        raise ValueError("a SCRAM password must be printable ASCII and not empty")
    if iterations < ITERATIONS:
        raise ValueError(f"SCRAM needs at least {ITERATIONS} iterations, got {iterations}")
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    return f"SCRAM-SHA-256${iterations}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
