"""Names, addresses, tags and messages of the place `local`."""

import io
import tarfile
from pathlib import Path

import pytest

from infra.dynamic import PlaceError
from infra.gate import missing_health
from infra.local.delivery import place_files, read_agent, seed
from infra.local.image import image_tag
from infra.local.names import Owner
from infra.local.network import subnets
from infra.local.ports import Port, refused

OWNER = Owner("local", "3fa9c1")
HEALTHY = {
    "members": {"pg-1": {"state": "running"}, "pg-2": {"state": "streaming"}},
    "etcd": {"pg-1": {"healthy": True}, "pg-2": {"healthy": True}},
}


def test_names_carry_stack_and_clone() -> None:
    assert OWNER.network == "local-3fa9c1"
    assert OWNER.container("pg-1") == "local-3fa9c1-pg-1"
    assert OWNER.volume("pg-1", "etcd") == "local-3fa9c1-pg-1-etcd"


@pytest.mark.parametrize("other", [Owner("local", "000000"), Owner("test-a", "3fa9c1")])
def test_owner_owns_nothing_of_another_clone_or_stack(other: Owner) -> None:
    assert OWNER.owns({**OWNER.labels, "guestcomms.machine": "pg-1"})
    assert not OWNER.owns(other.labels)
    assert not OWNER.owns(None)


def test_every_subnet_is_tried_once() -> None:
    tried = list(subnets(OWNER.network))
    assert len(tried) == len(set(tried)) == 256
    assert tried[0] != next(subnets(Owner("local", "000000").network))


def test_tag_follows_content(tmp_path: Path) -> None:
    file = tmp_path / "setup.sh"
    file.write_text("one")
    tag = image_tag("guestcomms-machine", "FROM x", {"setup.sh": file})
    assert tag == image_tag("guestcomms-machine", "FROM x", {"setup.sh": file})
    assert len(tag.removeprefix("guestcomms-machine:")) == 12
    file.write_text("two")
    assert image_tag("guestcomms-machine", "FROM x", {"setup.sh": file}) != tag
    assert image_tag("guestcomms-machine", "FROM y", {"setup.sh": file}) != tag


def test_every_container_is_a_new_instance() -> None:
    seeds = [seed("pg-1", container, "#cloud-config\n") for container in ("a" * 64, "b" * 64)]
    ids = []
    for packed in seeds:
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            meta = tar.extractfile("var/lib/cloud/seed/nocloud/meta-data")
            assert meta is not None
            ids.append(meta.read())
    assert ids[0] != ids[1]
    assert all(b"local-hostname: pg-1\n" in meta for meta in ids)


def test_secrets_are_packed_for_root_alone() -> None:
    packed = place_files("{}", {"machine.key": "PEM"}, b"zip")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        modes = {entry.name: (entry.mode, entry.uid, entry.gid) for entry in tar}
    assert modes["etc/guestcomms/secrets"] == (0o700, 0, 0)
    assert modes["etc/guestcomms/secrets/machine.key"] == (0o600, 0, 0)
    assert modes["opt/guestcomms/agent.pyz"] == (0o755, 0, 0)


def test_agent_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "agent.pyz"
    path.write_bytes(b"other")
    with pytest.raises(PlaceError, match="the machines pin 0000"):
        read_agent(str(path), "0" * 64)


@pytest.mark.parametrize(
    "message",
    [
        "Bind for 127.0.0.1:5432 failed: port is already allocated",
        "Error starting userland proxy: listen tcp4 127.0.0.1:5432: bind: address already in use",
    ],
)
def test_port_is_found_in_what_docker_says(message: str) -> None:
    ports = [Port("read_only", 5433, 5433), Port("read_write", 5432, 5432)]
    assert refused(message, ports) == ports[1]
    assert refused("no such network", ports) is None


def test_healthy_rest_of_a_cluster_lacks_nothing() -> None:
    assert missing_health(HEALTHY, ["pg-1", "pg-2"]) == []


@pytest.mark.parametrize(
    ("health", "problem"),
    [
        ({**HEALTHY, "members": {}}, "PostgreSQL on pg-2 is not in the cluster"),
        ({**HEALTHY, "members": {"pg-2": {"state": "crashed"}}}, "PostgreSQL on pg-2 is crashed"),
        ({**HEALTHY, "etcd": {"pg-2": {"healthy": False}}}, "etcd on pg-2 is not healthy"),
        ({**HEALTHY, "etcd": {}}, "etcd on pg-2 is not healthy"),
    ],
)
def test_what_the_rest_of_a_cluster_lacks_is_named(health: dict[str, object], problem: str) -> None:
    assert missing_health(health, ["pg-2"]) == [problem]
