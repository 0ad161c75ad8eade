"""etcd's members and their leader, through etcdctl with this machine's certificate."""

import base64
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from infra.agent import checks, paths
from infra.agent.errors import AgentError
from infra.agent.run import Outcome, run

PORT = 2379
TIMEOUT = 2.5  # seconds for one etcdctl; its own limits below end it earlier
_LIMITS = ("--dial-timeout=1s", "--command-timeout=2s")


@dataclass(frozen=True)
class Member:
    """An etcd member. Healthy means that it just answered a read that needs the quorum."""

    name: str
    healthy: bool
    leader: bool
    identity: int | None


@dataclass(frozen=True)
class Entry:
    """A key with its value, as of the revision that set it last."""

    key: str
    value: bytes
    revision: int


def get(name: str, key: str) -> Entry | None:
    """Read `key` through machine `name`; None where it is not set.

    Raises:
        AgentError: etcd refused, or gave no answer.
    """
    found = _answer(name, "get", key).get("kvs")
    if not found:
        return None
    first = checks.mapping(found[0], key)
    revision = checks.number(first.get("mod_revision"), f"{key}.mod_revision", 1, 2**63 - 1)
    return Entry(key, base64.b64decode(str(first.get("value") or "")), revision)


def put(name: str, key: str, value: bytes, revision: int) -> bool:
    """Set `key` if its revision still is this one (0: not set); return whether it was set.

    The value is kept as base64: etcdctl reads a transaction from lines of words.

    Raises:
        AgentError: etcd refused, or gave no answer.
    """
    encoded = base64.b64encode(value).decode("ascii")
    transaction = f'mod("{key}") = "{revision}"\n\nput {key} {encoded}\n\n\n'
    return _answer(name, "txn", stdin=transaction).get("succeeded") is True


def delete(name: str, entry: Entry) -> bool:
    """Delete the key if nobody has set it since `entry` was read; return whether it was deleted.

    Raises:
        AgentError: etcd refused, or gave no answer.
    """
    transaction = f'mod("{entry.key}") = "{entry.revision}"\n\ndel {entry.key}\n\n\n'
    return _answer(name, "txn", stdin=transaction).get("succeeded") is True


def members(names: Sequence[str]) -> dict[str, Member]:
    """Ask all members at once, each by itself, so that one that hangs delays no other."""
    with ThreadPoolExecutor(max_workers=max(2 * len(names), 1)) as pool:
        health = {name: pool.submit(_healthy, name) for name in names}
        status = {name: pool.submit(_status, name) for name in names}
        return {
            name: parse_status(name, health[name].result(), status[name].result()) for name in names
        }


def leads(name: str) -> bool:
    """Whether machine `name` leads etcd; no answer counts as no."""
    return parse_status(name, healthy=True, answer=_status(name)).leader


def move_leader(leader: str, successor: Member) -> None:
    """Make `successor` etcd's leader in place of machine `leader`.

    Raises:
        AgentError: etcd refused, or gave no answer.
    """
    if successor.identity is None:
        raise AgentError(f"etcd on {successor.name} did not say its identity")
    outcome = _etcdctl(leader, "move-leader", f"{successor.identity:x}")
    if outcome.status != 0:
        raise AgentError(f"etcd's leadership stays on {leader}: {outcome.complaint()}")


def membership(name: str) -> dict[str, int]:
    """Return the members of etcd's cluster as machine `name` knows them: name → identity.

    A member that was added but never started has no name yet, and is not among them.

    Raises:
        AgentError: etcd gives no answer.
    """
    outcome = _etcdctl(name, "member", "list")
    try:
        listed = checks.mapping(json.loads(outcome.stdout), "etcd").get("members")
    except ValueError as error:
        raise AgentError(f"etcd does not list its members: {outcome.complaint()}") from error
    found = [checks.mapping(item, "etcd.members") for item in checks.sequence(listed, "members")]
    return {
        str(item["name"]): checks.number(item.get("ID"), "etcd.members.ID", 1, 2**64 - 1)
        for item in found
        if item.get("name")
    }


def remove_member(through: str, name: str, identity: int) -> None:
    """Take member `name` out of the cluster, asking machine `through`.

    Raises:
        AgentError: etcd refused, or gave no answer.
    """
    outcome = _etcdctl(through, "member", "remove", f"{identity:x}")
    if outcome.status != 0:
        raise AgentError(f"etcd keeps its member {name}: {outcome.complaint()}")


def parse_status(name: str, healthy: bool, answer: object) -> Member:
    """Return the member that the `answer` of `endpoint status` describes (None: it gave none)."""
    if not isinstance(answer, list) or not answer:
        return Member(name, healthy=False, leader=False, identity=None)
    status = checks.mapping(checks.mapping(answer[0], "etcd").get("Status"), "etcd.Status")
    header = checks.mapping(status.get("header"), "etcd.Status.header")
    identity = checks.number(header.get("member_id"), "etcd.member_id", 1, 2**64 - 1)
    return Member(name, healthy=healthy, leader=status.get("leader") == identity, identity=identity)


def environment() -> Mapping[str, str]:
    """Return the variables by which etcdctl finds this machine's certificate."""
    return {
        "ETCDCTL_API": "3",
        "ETCDCTL_CACERT": str(paths.CA_CERTIFICATE),
        "ETCDCTL_CERT": str(paths.CERTIFICATE),
        "ETCDCTL_KEY": str(paths.PRIVATE_KEY),
    }


def _healthy(name: str) -> bool:
    try:
        return _etcdctl(name, "endpoint", "health").status == 0
    except AgentError:
        return False


def _status(name: str) -> object:
    try:
        return json.loads(_etcdctl(name, "endpoint", "status").stdout)
    except (AgentError, ValueError):
        return None


def _answer(name: str, *arguments: str, stdin: str = "") -> dict[str, Any]:
    outcome = _etcdctl(name, *arguments, stdin=stdin)
    if outcome.status != 0:
        raise AgentError(f"etcdctl {arguments[0]} on {name}: {outcome.complaint()}")
    try:
        return dict(json.loads(outcome.stdout))
    except ValueError as error:
        raise AgentError(f"etcdctl {arguments[0]} on {name} printed no JSON") from error


def _etcdctl(name: str, *arguments: str, stdin: str = "") -> Outcome:
    endpoint = f"--endpoints=https://{name}:{PORT}"
    return run(
        ["etcdctl", endpoint, *_LIMITS, "--write-out=json", *arguments],
        timeout=TIMEOUT,
        environment=environment(),
        stdin=stdin,
    )
