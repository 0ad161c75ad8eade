"""Every secret of the stack is searched for in clear, wherever somebody could come upon it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ops.cluster.harness import Cluster

SPECIAL = "4dabf18193072939515e22adb298388d"
"""Pulumi marks secrets in an exported state with this key."""
TOO_SHORT = 12
MACHINES = ("store-1", "pg-1", "pg-2", "pg-3", "proxy-1", "monitor-1", "drill-1")


def _plaintexts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if SPECIAL in value and "plaintext" in value:
            yield from _leaves(json.loads(value["plaintext"]))
        else:
            for item in value.values():
                yield from _plaintexts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _plaintexts(item)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)


@pytest.fixture(scope="module")
def secrets(cluster: Cluster) -> set[str]:
    """What must not be seen: passwords, verifiers, private keys, store keys, cipher and KEK."""
    state = json.loads(cluster.pulumi("stack", "export", "--show-secrets"))
    public = state["deployment"]["resources"][0]["outputs"]["ca_certificate"]
    found = set()
    for text in _plaintexts(state):
        if "BEGIN CERTIFICATE" in text or text == public:
            continue
        lines = [line for line in text.splitlines() if not line.startswith("-----")]
        if "PRIVATE KEY" in text:
            del lines[1:]  # what follows is the public key, which a certificate shows as well
        found |= {line for line in lines if len(line) >= TOO_SHORT}
    assert len(found) > 30
    return found


def _seen(text: str, secrets: set[str]) -> list[str]:
    """The beginnings of the secrets that occur in a text."""
    return sorted(secret[:6] + "…" for secret in secrets if secret in text)


def test_the_search_finds_what_is_there(secrets: set[str], cluster: Cluster) -> None:
    known = cluster.dsn().split(":")[2].split("@")[0]
    assert _seen(f"password={known}", secrets)


def test_state_and_history(cluster: Cluster, secrets: set[str]) -> None:
    files = [path for path in Path(cluster.backend).rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        assert _seen(path.read_text(errors="replace"), secrets) == [], path


def test_events_of_up(cluster: Cluster, secrets: set[str]) -> None:
    said = cluster.pulumi("up", "--yes", "--skip-preview", "--json", "--refresh")
    assert "resourcePreEvent" in said or '"steps"' in said or "urn:pulumi" in said
    assert _seen(said, secrets) == []


def test_docker_inspect(cluster: Cluster, secrets: set[str]) -> None:
    for machine in MACHINES:
        said = json.dumps(cluster.container(machine).attrs)
        assert cluster.stack in said
        assert _seen(said, secrets) == [], machine


@pytest.mark.parametrize("machine", MACHINES)
def test_logs_processes_and_user_data(cluster: Cluster, secrets: set[str], machine: str) -> None:
    said = cluster.on(
        machine,
        # Command lines and environments of every process, every log, and what cloud-init keeps.
        "journalctl --no-pager -o cat; for p in /proc/[0-9]*; do"
        " tr '\\0' '\\n' < $p/cmdline; tr '\\0' '\\n' < $p/environ; done 2>/dev/null;"
        " find /var/log /var/lib/cloud /tmp /run -type f -size -20M -exec cat {} + 2>/dev/null;"
        " true",
    )
    assert "systemd" in said
    assert _seen(said, secrets) == []


def test_files_with_secrets_are_readable_by_their_user_alone(cluster: Cluster) -> None:
    for machine in ("pg-1", "store-1", "drill-1"):
        open_files = cluster.on(
            machine,
            "find /etc/guestcomms/secrets /etc/guestcomms/keys /etc/pgbackrest/conf.d"
            " /etc/seaweedfs -type f -perm /077 2>/dev/null; true",
        )
        assert open_files == "", machine
