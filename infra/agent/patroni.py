"""Patroni's REST interface, over TLS with this machine's certificate."""

import http.client
import json
import logging
import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

from infra.agent import paths

PORT = 8008
QUICK = 1.5  # seconds for an answer that lies ready in Patroni's memory

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """What one Patroni says of itself; `leader` means that it holds the leader lock."""

    name: str
    leader: bool
    role: str
    state: str
    timeline: int | None
    pending_restart: bool


def member(name: str, timeout: float = QUICK) -> Member | None:
    """Ask machine `name` what it is, or return None when it gives no answer."""
    try:
        status, body = request(name, "GET", "/leader", timeout=timeout)
        return parse_member(name, status, json.loads(body))
    except (OSError, http.client.HTTPException, ValueError) as error:
        log.debug("%s: no answer from Patroni: %s", name, error)
        return None


def members(names: Sequence[str]) -> dict[str, Member | None]:
    """Ask all machines at once; who gives no answer is None."""
    with ThreadPoolExecutor(max_workers=max(len(names), 1)) as pool:
        return dict(zip(names, pool.map(member, names), strict=True))


def leads(name: str) -> bool:
    """Whether machine `name` holds the leader lock; no answer counts as no."""
    answer = member(name)
    return answer is not None and answer.leader


def switchover(leader: str, candidate: str | None, timeout: float) -> tuple[int, str]:
    """Ask the leader to hand over to `candidate`, None: to any; return status and Patroni's words.

    Raises:
        OSError: no connection, or no answer within `timeout` seconds.
    """
    wanted = {"leader": leader} | ({"candidate": candidate} if candidate else {})
    return request(leader, "POST", "/switchover", wanted, timeout=timeout)


def request(
    name: str,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    timeout: float,
    port: int = PORT,
) -> tuple[int, str]:
    """Send one request to machine `name` and return status and text.

    Other programs than Patroni that are asked like this have another `port`.

    Raises:
        OSError: no connection, no trusted certificate, or no answer within `timeout` seconds.
        http.client.HTTPException: the answer is not HTTP.
    """
    connection = http.client.HTTPSConnection(name, port, timeout=timeout, context=_tls())
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    finally:
        connection.close()


def parse_member(name: str, status: int, facts: object) -> Member:
    """Return the member that the answer of `GET /leader` describes.

    Raises:
        ValueError: the answer is not a JSON object.
    """
    if not isinstance(facts, dict):
        raise ValueError(f"Patroni on {name} answered {type(facts).__name__}, not an object")
    said = cast(dict[str, Any], facts)
    timeline = said.get("timeline")
    return Member(
        name=name,
        leader=status == http.client.OK,
        role=_role(status == http.client.OK, said),
        state=str(said.get("replication_state") or said.get("state") or "unknown"),
        timeline=timeline if isinstance(timeline, int) else None,
        pending_restart=bool(said.get("pending_restart", False)),
    )


def _role(leader: bool, said: Mapping[str, Any]) -> str:
    if leader:
        return "leader"
    for kind in ("quorum_standby", "sync_standby"):
        if said.get(kind):
            return kind
    return "replica" if said.get("role") == "replica" else "unknown"


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(paths.CA_CERTIFICATE))
    context.load_cert_chain(paths.CERTIFICATE, paths.PRIVATE_KEY)
    return context
