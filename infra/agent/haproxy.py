"""HAProxy's runtime interface: what changes without a reload, hence without losing a connection.

HAProxy 3.0 exchanges the authorities that health checks trust only where the server has a
certificate of its own, and breaks down where that one was ever exchanged as well
(https://github.com/haproxy/haproxy/issues/3165). So servers have one that stays as it is. Patroni
would refuse it, because no authority signed it; it is never shown, because its key makes none of
the signatures that `client-sigalgs` allows.

Source: https://docs.haproxy.org/3.0/management.html#9.3
"""

import re
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from infra.agent import paths
from infra.agent.errors import AgentError
from infra.agent.facts import database_machines
from infra.agent.run import run

SOCKET = Path("/run/haproxy-admin.sock")
TIMEOUT = 5.0  # seconds for one command
CHECK_OPTIONS = f"crt {paths.CHECK_CERTIFICATE} client-sigalgs RSA-PSS+SHA256"
"""For each server: HAProxy does not take them from `default-server`."""
ATTEMPTS = 10
PAUSE = 0.5  # seconds between two
SERVERS = re.compile(
    r"^(?P<indent> *)# servers on port (?P<port>\d+), written by the agent: begin\n"
    r"(?P<lines>.*?)(?P<end>^ *# servers: end\n)",
    re.MULTILINE | re.DOTALL,
)
BACKEND = re.compile(r"^backend (\S+)\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
DEFAULTS = re.compile(r"^ *default-server (.+)$", re.MULTILINE)
SERVER = re.compile(r"^ *server (\S+) (\S+) (.+)$", re.MULTILINE)

Servers = Mapping[str, str]
"""Server → its address, port and options, as `add server` takes them."""


def with_servers(configuration: str, addresses: Mapping[str, str]) -> str:
    """Return HAProxy's configuration with a server line for each database machine.

    The lines come between the marks that each backend has for them; what stood there goes.
    """

    def lines(found: re.Match[str]) -> str:
        made = "".join(
            f"{found['indent']}server {name} {addresses[name]}:{found['port']} verifyhost {name}"
            f" {CHECK_OPTIONS}\n"
            for name in database_machines(addresses)
        )
        head = f"{found['indent']}# servers on port {found['port']}, written by the agent: begin\n"
        return head + made + found["end"]

    return SERVERS.sub(lines, configuration)


def servers(configuration: str) -> dict[str, Servers]:
    """Return what the configuration wants: backend → its servers."""
    wanted: dict[str, Servers] = {}
    for name, body in BACKEND.findall(configuration):
        # `add server` knows no default-server.
        defaults = found[1] if (found := DEFAULTS.search(body)) else ""
        wanted[name] = {
            server: f"{address} {defaults} {options}"
            for server, address, options in SERVER.findall(body)
        }
    return wanted


def commands(wanted: Mapping[str, Servers], present: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield what makes HAProxy's servers the wanted ones; whoever stays is not touched."""
    for backend, targets in wanted.items():
        there = present.get(backend, set())
        for server in sorted(set(targets) - there):
            yield f"add server {backend}/{server} {targets[server]}"
            yield f"enable health {backend}/{server}"
            yield f"enable server {backend}/{server}"
        for server in sorted(there - set(targets)):
            yield f"set server {backend}/{server} state maint"
            yield f"shutdown sessions server {backend}/{server}"
            yield f"del server {backend}/{server}"


def renew_servers() -> None:
    """Make a running HAProxy serve the servers that its configuration names now.

    Raises:
        AgentError: it gives no answer, or its servers are others afterwards.
    """
    wanted = servers(paths.PROXY.read_text(encoding="utf-8"))
    said: list[str] = []
    for _ in range(ATTEMPTS):  # a server that still has sessions goes a moment later
        todo = list(commands(wanted, _present()))
        if not todo:
            return
        said = [ask(command) for command in todo]
        time.sleep(PAUSE)
    raise AgentError(f"HAProxy does not take its servers: {' '.join(filter(None, said))}")


def _present() -> dict[str, set[str]]:
    """The servers that HAProxy has, by backend."""
    found: dict[str, set[str]] = {}
    # Each line is one server: backend/server, then numbers.
    for word in ask("show servers conn").split():
        backend, slash, server = word.partition("/")
        if slash and not server.startswith("-"):
            found.setdefault(backend, set()).add(server)
    return found


def check_certificate(present: bytes) -> bytes:
    """Return the certificate of health checks with its key: the present one, made if need be.

    Raises:
        AgentError: openssl makes none.
    """
    if present:
        return present
    made = run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-noenc", "-subj", "/CN=health check", "-days", "36500", "-keyout", "/dev/stdout"),
        ],
        timeout=TIMEOUT,
    )
    if made.status != 0:
        raise AgentError(f"no certificate for health checks: {made.complaint()}")
    return made.stdout.encode("ascii")


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
