"""Ends of validity, and what a port really shows."""

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.agent import certificates, paths
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.trust.certificates import KeyPair, make_authority, make_certificate

AUTHORITY = make_authority("test", days=100)


def made(days: int) -> KeyPair:
    return make_certificate(AUTHORITY, "pg-1", ["pg-1"], ["127.0.0.1"], days)


def epoch(pair: KeyPair) -> int:
    return int(dt.datetime.fromisoformat(pair.not_after).timestamp())


@pytest.fixture
def present(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyPair:
    """The certificate that lies on this machine."""
    pair = made(30)
    for name, text in (("CERTIFICATE", pair.certificate), ("PRIVATE_KEY", pair.private_key)):
        file = tmp_path / name
        file.write_text(text)
        monkeypatch.setattr(paths, name, file)
    monkeypatch.setattr(paths, "CA_CERTIFICATE", tmp_path / "ca")
    paths.CA_CERTIFICATE.write_text(AUTHORITY.certificate + make_authority("b", 5).certificate)
    return pair


@contextmanager
def serving(pair: KeyPair, folder: Path, *, postgresql: bool) -> Iterator[int]:
    """A port that shows a certificate, after an SSLRequest if it is `postgresql`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (folder / "shown").write_text(pair.certificate + pair.private_key)
    context.load_cert_chain(folder / "shown")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                if postgresql:
                    assert connection.recv(8) == certificates.SSL_REQUEST
                    connection.sendall(b"S")
                context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        thread.join(timeout=5)


@pytest.mark.parametrize("postgresql", [True, False])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_port_with_another_certificate_is_stale(
    present: KeyPair, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    *, fresh: bool, postgresql: bool,
) -> None:  # fmt: skip
    with serving(present if fresh else made(30), tmp_path, postgresql=postgresql) as port:
        monkeypatch.setattr(certificates, "PORTS", {"database": (port,)})
        monkeypatch.setattr(certificates, "POSTGRESQL", (port,) if postgresql else ())
        report = certificates.report(machine)
    assert report["stale"] == ([] if fresh else [port])
    assert report["silent"] == []
    assert report["certificate"]["not_after"] == epoch(present)
    assert len(report["authorities"]) == 2


@pytest.mark.usefixtures("present")
def test_a_port_where_nobody_listens_is_silent(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    monkeypatch.setattr(certificates, "PORTS", {"database": (port,)})
    assert certificates.report(machine)["silent"] == [port]


def test_the_metric_has_the_earliest_end_of_all_authorities() -> None:
    pair, early = made(7), make_authority("b", 5)
    file = certificates.metrics(pair.certificate, AUTHORITY.certificate + early.certificate)
    lines = file.content.decode().splitlines()
    assert f'{certificates.METRIC}{{certificate="machine"}} {epoch(pair)}' in lines
    assert f'{certificates.METRIC}{{certificate="authority"}} {epoch(early)}' in lines


def test_what_is_no_certificate_is_an_error() -> None:
    with pytest.raises(AgentError, match="cannot be read"):
        certificates.not_after("nonsense")
