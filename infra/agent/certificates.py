"""`certificates`: until when this machine's are good, and whether its servers show the present one.

A server that was not reloaded goes on with the certificate it has read, until that ends: so each
port is asked what it shows. The ends are also a metric, for an alert long before.
"""

import hashlib
import socket
import ssl
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from infra.agent import paths
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.files import File
from infra.agent.run import run

TIMEOUT = 3.0  # seconds for one port
POSTGRESQL = (5432, 6432)
"""Ports where TLS begins after a PostgreSQL SSLRequest."""
PORTS: Mapping[str, tuple[int, ...]] = {
    "database": (2379, 2380, 5432, 6432, 8008, 9100, 9127, 9187, 9854),
    "proxy": (8404, 9100),
    "store": (8333, 9100),
    "monitor": (9090, 9093, 9100),
    "drill": (9100,),
}
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""https://www.postgresql.org/docs/17/protocol-message-formats.html, SSLRequest."""
METRIC = "guestcomms_certificate_not_after_seconds"
BEGIN = "-----BEGIN CERTIFICATE-----"


def report(machine: Machine) -> Mapping[str, Any]:
    """Return this machine's certificate, the authorities it trusts, and which ports show what.

    `stale` are ports that show another certificate than the present one, `silent` those that show
    none.

    Raises:
        AgentError: a certificate file cannot be read.
    """
    own = paths.CERTIFICATE.read_text(encoding="ascii")
    wanted = fingerprint(ssl.PEM_cert_to_DER_cert(own))
    ports = PORTS[machine.role]
    with ThreadPoolExecutor(max_workers=len(ports)) as pool:
        shown = dict(zip(ports, pool.map(_shown, ports), strict=True))
    return {
        "machine": machine.name,
        "certificate": {"sha256": wanted, "not_after": not_after(own)},
        "authorities": [
            {"sha256": fingerprint(ssl.PEM_cert_to_DER_cert(each)), "not_after": not_after(each)}
            for each in split(paths.CA_CERTIFICATE.read_text(encoding="ascii"))
        ],
        "stale": [port for port, found in shown.items() if found not in (None, wanted)],
        "silent": [port for port, found in shown.items() if found is None],
    }


def metrics(certificate: str, authorities: str) -> File:
    """Return the file from which the node exporter takes the ends of the given certificates."""
    ends = {"machine": not_after(certificate)}
    ends["authority"] = min(not_after(each) for each in split(authorities))
    lines = [
        f"# HELP {METRIC} End of validity in seconds since 1970.",
        f"# TYPE {METRIC} gauge",
        *(f'{METRIC}{{certificate="{name}"}} {end}' for name, end in ends.items()),
    ]
    path = paths.METRICS / "certificates.prom"
    return File(path, ("\n".join(lines) + "\n").encode(), "root", "root", 0o644)


def split(bundle: str) -> list[str]:
    """Return the certificates of a PEM file that holds several."""
    return [BEGIN + part.rstrip() + "\n" for part in bundle.split(BEGIN)[1:]]


def not_after(certificate: str) -> int:
    """Return the end of a PEM certificate's validity, in seconds since 1970.

    Raises:
        AgentError: it is not a certificate.
    """
    said = run(["openssl", "x509", "-noout", "-enddate"], timeout=TIMEOUT, stdin=certificate)
    name, _, date = said.stdout.strip().partition("=")
    if name != "notAfter":
        raise AgentError(f"a certificate cannot be read: {said.complaint()}")
    return int(ssl.cert_time_to_seconds(date))


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a certificate in hexadecimal."""
    return hashlib.sha256(der).hexdigest()


def _shown(port: int) -> str | None:
    """The fingerprint of what a port of this machine shows, None where it shows nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # It is compared byte for byte with what it shall be: that says more than a signature.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(paths.CERTIFICATE, paths.PRIVATE_KEY)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as plain:
            if port in POSTGRESQL:
                plain.sendall(SSL_REQUEST)
                if plain.recv(1) != b"S":
                    return None
            with context.wrap_socket(plain) as wrapped:
                der = wrapped.getpeercert(binary_form=True)
    except OSError:
        return None
    return fingerprint(der) if der else None
