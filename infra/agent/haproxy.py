"""HAProxy's runtime interface: what changes without a reload, hence without losing a connection.

Source: https://docs.haproxy.org/3.0/management.html#9.3
"""

import socket
from pathlib import Path

from infra.agent import paths
from infra.agent.errors import AgentError

SOCKET = Path("/run/haproxy-admin.sock")
TIMEOUT = 5.0  # seconds for one command


def renew_certificates() -> None:
    """Make a running HAProxy use the certificate and trust the authorities that lie here now.

    Raises:
        AgentError: it gives no answer, or refuses.
    """
    _replace("cert", paths.CERTIFICATE_AND_KEY)
    _replace("ca-file", paths.CA_CERTIFICATE)


def _replace(kind: str, file: Path) -> None:
    text = file.read_text(encoding="ascii").strip()
    said = ask(f"set ssl {kind} {file} <<\n{text}\n")
    if "transaction" not in said.lower():
        raise AgentError(f"HAProxy does not take {file}: {said}")
    said = ask(f"commit ssl {kind} {file}")
    if "Success" not in said:
        raise AgentError(f"HAProxy does not use {file}: {said}")


def ask(command: str) -> str:
    """Send one command and return the answer as one line.

    Raises:
        AgentError: nobody listens, or gives no answer within TIMEOUT.
    """
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(str(SOCKET))
            connection.sendall(command.encode("ascii") + b"\n")
            while part := connection.recv(65536):
                answer += part
    except OSError as error:
        raise AgentError(f"HAProxy gives no answer on {SOCKET}: {error}") from error
    return " ".join(answer.decode(errors="replace").split())
