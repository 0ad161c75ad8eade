"""Certificates, judged by OpenSSL through real TLS handshakes in memory."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from infra.trust.certificates import KeyPair, make_authority, make_certificate, needs_renewal

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def authority() -> KeyPair:
    return make_authority("test authority", days=3650)


@pytest.fixture(scope="module")
def machine(authority: KeyPair) -> KeyPair:
    return make_certificate(authority, "pg-1", ["pg-1", "localhost"], ["10.213.7.11"], days=365)


def context(side: ssl._SSLMethod, own: KeyPair, authority: KeyPair, folder: Path) -> ssl.SSLContext:
    """Return a TLS context that shows `own` and accepts only what `authority` signed."""
    made = ssl.SSLContext(side)
    made.load_verify_locations(cadata=authority.certificate)
    made.verify_mode = ssl.CERT_REQUIRED
    pem = folder / "own.pem"
    pem.write_text(own.certificate + own.private_key)
    made.load_cert_chain(pem)
    return made


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Run a TLS handshake between two contexts and return the server's side."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=name)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (asking, answering):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert answering.cipher() is not None
    return answering


@pytest.mark.parametrize("name", ["pg-1", "localhost", "10.213.7.11"])
def test_machines_accept_each_other(
    authority: KeyPair, machine: KeyPair, tmp_path: Path, name: str
) -> None:
    client = context(ssl.PROTOCOL_TLS_CLIENT, machine, authority, tmp_path)
    server = context(ssl.PROTOCOL_TLS_SERVER, machine, authority, tmp_path)
    peer = handshake(client, server, name).getpeercert()
    assert peer is not None
    assert peer["subject"] == ((("commonName", "pg-1"),),)


@pytest.mark.parametrize("name", ["pg-2", "10.213.7.12"])
def test_certificate_is_good_for_its_own_names_only(
    authority: KeyPair, machine: KeyPair, tmp_path: Path, name: str
) -> None:
    client = context(ssl.PROTOCOL_TLS_CLIENT, machine, authority, tmp_path)
    server = context(ssl.PROTOCOL_TLS_SERVER, machine, authority, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(client, server, name)


def test_certificate_of_another_authority_is_refused(authority: KeyPair, tmp_path: Path) -> None:
    other = make_authority("test authority", days=3650)
    stranger = make_certificate(other, "pg-1", ["pg-1"], [], days=365)
    client = context(ssl.PROTOCOL_TLS_CLIENT, stranger, authority, tmp_path)
    server = context(ssl.PROTOCOL_TLS_SERVER, stranger, authority, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client, server, "pg-1")


def test_machine_certificate_cannot_sign(machine: KeyPair) -> None:
    parsed = x509.load_pem_x509_certificate(machine.certificate.encode())
    constraints = parsed.extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = parsed.extensions.get_extension_for_class(x509.KeyUsage).value
    assert not constraints.ca
    assert not usage.key_cert_sign


def test_validity_is_the_days_asked_for(machine: KeyPair) -> None:
    remaining = dt.datetime.fromisoformat(machine.not_after) - dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=364) < remaining <= dt.timedelta(days=365)


def test_bad_address_is_an_error(authority: KeyPair) -> None:
    with pytest.raises(ValueError, match=r"10\.213\.7\.x"):
        make_certificate(authority, "pg-1", ["pg-1"], ["10.213.7.x"], days=365)


@pytest.mark.parametrize(("days", "due"), [(-1, True), (29, True), (31, False), (364, False)])
def test_renewal_is_due_in_the_last_thirty_days(days: int, due: bool) -> None:
    assert needs_renewal((NOW + dt.timedelta(days=days)).isoformat(), NOW) is due
