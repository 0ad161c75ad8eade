"""Providers: the paths they are found by, and what asks for a new machine."""

import asyncio
import base64
import pickletools

import pytest
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.runtime import rpc

from infra.dynamic import PlaceError, Props, Provider
from infra.local.container import DEFINING
from infra.local.gate import ClusterProvider
from infra.local.image import ImageProvider
from infra.local.machine import MachineProvider
from infra.local.network import NetworkProvider
from infra.local.volume import VolumeProvider
from infra.trust.resources import (
    AuthorityProvider,
    CertificateProvider,
    LoginProvider,
    SecretProvider,
)

# Stacks that exist hold these paths in their state. Rename a class and leave its old name as an
# alias in the old place, or nobody can refresh or destroy such a stack.
PATHS: dict[str, Provider] = {
    "infra.local.gate ClusterProvider": ClusterProvider(),
    "infra.local.image ImageProvider": ImageProvider(),
    "infra.local.machine MachineProvider": MachineProvider(),
    "infra.local.network NetworkProvider": NetworkProvider(),
    "infra.local.volume VolumeProvider": VolumeProvider(),
    "infra.trust.resources AuthorityProvider": AuthorityProvider(),
    "infra.trust.resources CertificateProvider": CertificateProvider(),
    "infra.trust.resources LoginProvider": LoginProvider(),
    "infra.trust.resources SecretProvider": SecretProvider(),
}

MACHINE: Props = {
    "stack": "local",
    "clone": "3fa9c1",
    "machine": "pg-1",
    "image": "guestcomms-machine:0123456789ab",
    "network": "local-3fa9c1",
    "address": "10.213.7.11",
    "user_data": "#cloud-config\n",
    "place": "{}",
    "secrets": {"machine.key": "PEM"},
    "agent": "/somewhere/agent.pyz",
    "agent_sha256": "0" * 64,
    "memory_mib": 2048,
    "cores": 2,
    "volumes": {"/var/lib/etcd": "local-3fa9c1-pg-1-etcd"},
    "ports": [{"key": "read_write", "host": 5432, "container": 5432}],
    "peers": ["pg-2", "pg-3"],
    "health_timeout_seconds": 900,
}
RUNNING = {**MACHINE, "running": True}


def as_planned(value: object) -> object:
    """Return `value` as a provider gets it from the engine, whose marker means unknown."""
    message = asyncio.run(rpc.serialize_properties({"value": value}, {}))
    return rpc.deserialize_properties(message, True)["value"]


@pytest.mark.parametrize("path", PATHS)
def test_provider_is_found_by_its_path_and_holds_nothing_else(path: str) -> None:
    pickled = base64.b64decode(serialize_provider(PATHS[path]))
    strings = [argument for _, argument, _ in pickletools.genops(pickled) if argument is not None]
    assert " ".join(text for text in strings if isinstance(text, str)) == path


@pytest.mark.parametrize("key", [key for key in DEFINING if key != "clone"])
def test_what_defines_a_machine_makes_it_anew(key: str) -> None:
    result = MachineProvider().diff("1", RUNNING, {**MACHINE, key: "other"})
    assert (result.changes, result.replaces, result.delete_before_replace) == (True, [key], True)


@pytest.mark.parametrize("key", ["memory_mib", "cores", "place", "secrets"])
def test_the_rest_changes_in_place(key: str) -> None:
    result = MachineProvider().diff("1", RUNNING, {**MACHINE, key: "other"})
    assert (result.changes, result.replaces) == (True, [])


@pytest.mark.parametrize("key", ["agent", "peers", "health_timeout_seconds"])
def test_what_only_the_next_run_reads_changes_nothing(key: str) -> None:
    assert not MachineProvider().diff("1", RUNNING, {**MACHINE, key: "other"}).changes


@pytest.mark.parametrize("key", [key for key in DEFINING if key != "clone"])
def test_unknown_value_never_makes_a_machine_anew(key: str) -> None:
    # The engine plans with unknowns; it would delete all machines at once for them.
    for unknown in (rpc.UNKNOWN, [rpc.UNKNOWN], {"inside": rpc.UNKNOWN}):
        result = MachineProvider().diff("1", RUNNING, {**MACHINE, key: as_planned(unknown)})
        assert (result.changes, result.replaces) == (True, [])


@pytest.mark.parametrize("provider", [MachineProvider, VolumeProvider, NetworkProvider])
def test_what_another_clone_made_is_never_replaced(provider: type[Provider]) -> None:
    ours = {**MACHINE, "label": "data", "running": True}
    with pytest.raises(PlaceError, match=r"made by clone aaaaaa, this is clone 3fa9c1"):
        provider().diff("1", {**ours, "clone": "aaaaaa"}, ours)


def test_stopped_machine_changes_in_place() -> None:
    result = MachineProvider().diff("1", {**MACHINE, "running": False}, MACHINE)
    assert (result.changes, result.replaces) == (True, [])
    assert not MachineProvider().diff("1", RUNNING, MACHINE).changes
