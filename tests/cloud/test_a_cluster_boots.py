"""A cluster on the simulated AWS whose instances really boot, from `pulumi up` to a second region.

The machines come up by the AWS program alone: image, user-data by the metadata service, secrets and
place file fetched with the instance's role, volumes as block devices, commands through Systems
Manager. Nothing in their network leads to the internet. A person's commands are `guestcomms`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from infra.aws.machine import packed
from infra.machine import machines as machines_of
from infra.spec import ClusterSpec, LocalPlace
from tests.cloud.booted import AGENT, Cloud, account, configure
from tests.cloud.figures import told
from tests.cloud.regions import (
    FIRST,
    IMAGE,
    LOST,
    RECOVERY,
    SECOND,
    first_targets,
    give_keys,
    keys,
    write_stack_files,
)
from tests.fake_aws.kinds.names import INSTANCE, VOLUME
from tests.waiting import wait_until

SITE_NETWORK = "10.214.32.0/19"
NETWORKS = {LOST: "10.214.32.0/20", RECOVERY: "10.214.48.0/20"}
DATABASES = ("pg-1", "pg-2", "pg-3")
NEW_TYPES = {
    "database": "m7g.xlarge", "proxy": "t4g.small", "monitor": "t4g.small", "drill": "t4g.medium",
}  # fmt: skip


@pytest.fixture(scope="module")
def cloud(machine_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A stack with three database machines, made by `pulumi up` from nothing, and migrated."""
    folder = tmp_path_factory.mktemp("aws")
    with account(folder, machine_image, SITE_NETWORK, (FIRST, SECOND), LOST) as made:
        configure(made, NETWORKS[LOST])
        made.up(LOST)
        made.guestcomms("migrate", "apply")
        yield made


def test_a_healthy_cluster_comes_up_by_the_program_for_aws(cloud: Cloud) -> None:
    health = cloud.health()
    assert health["healthy"], health["problems"]
    assert set(health["members"]) == set(DATABASES)
    standbys = {row["name"]: row["sync_state"] for row in health["replication"]}
    assert set(standbys) == set(DATABASES) - {health["leader"]}
    assert "quorum" in standbys.values()


def test_a_write_through_one_proxy_is_read_through_the_other(cloud: Cloud) -> None:
    cloud.query("SELECT create_organization(gen_random_uuid(), 'First')", proxy="proxy-1")
    found = cloud.query("SELECT name FROM organizations", proxy="proxy-2")
    assert found == [("First",)]


def test_each_machine_booted_what_a_local_one_boots(cloud: Cloud) -> None:
    file = cloud.project.folder / "stacks" / f"Pulumi.{LOST}.yaml"
    config = yaml.safe_load(file.read_text(encoding="utf-8"))["config"]
    sections = {key.removeprefix("guestcomms:"): value for key, value in config.items()}
    spec = ClusterSpec.load(LOST, sections)
    pinned = cloud.on("pg-1", "sha256sum", AGENT).split()[0]
    local = spec.model_copy(update={"place": LocalPlace()})
    for item in machines_of(local, pinned):
        if item.name.startswith("store-"):
            continue
        sent = packed(item.user_data)
        assert cloud.instance(item.name).get("userDataBase64") == sent, item.name
        booted = cloud.on(item.name, "sha256sum", "/var/lib/cloud/instance/user-data.txt").split()[
            0
        ]
        assert booted == hashlib.sha256(base64.b64decode(sent)).hexdigest(), item.name


def test_secrets_are_for_root_alone_and_data_lies_on_volumes(cloud: Cloud) -> None:
    modes = cloud.on("pg-1", "stat", "-c", "%a %U", "/etc/guestcomms/secrets/machine.key")
    assert modes.split() == ["600", "root"]
    for path in ("/var/lib/postgresql", "/var/lib/etcd"):
        found = cloud.on("pg-1", "findmnt", "--noheadings", "--output", "SOURCE,FSTYPE", path)
        source, kind = found.split()
        assert source.startswith("/dev/loop")
        assert kind == "ext4"
    again = json.loads(cloud.on("pg-1", "/usr/local/sbin/guestcomms-fetch"))
    assert again == {"changed": []}


def test_a_backup_reaches_s3_with_the_role_of_the_instance(cloud: Cloud) -> None:
    began = time.monotonic()
    assert cloud.guestcomms("backup", "run", "full")
    told(f"{LOST}: full backup {time.monotonic() - began:.0f} s")
    folder = f"arn:aws:s3:::{cloud.bucket(LOST)}/wedsync/"
    written = {
        line["resource"].removeprefix(folder).partition("/")[0]
        for line in cloud.lines("machine-calls")
        if line["action"] == "s3:PutObject" and line["machine"] in DATABASES
    }
    assert written == {"archive", "backup"}


def test_the_monitor_gives_its_sign_of_life_to_the_topic_of_the_alarm(cloud: Cloud) -> None:
    def is_alive() -> bool:
        return any(line["topic"].endswith("-heartbeat") for line in cloud.lines("sns"))

    wait_until(is_alive, seconds=240, poll_seconds=1)


def test_another_instance_type_rolls_machines_and_keeps_what_they_hold(cloud: Cloud) -> None:
    project = cloud.project
    volumes = {item.id for item in project.world.of(VOLUME)}
    before = {item.id for item in project.world.of(INSTANCE)}
    begin = len(project.calls)
    project.configure(LOST, instance_types=NEW_TYPES)
    cloud.up(LOST)
    after = {item.id for item in project.world.of(INSTANCE)}
    assert len(after - before) == len(DATABASES)
    assert {item.id for item in project.world.of(VOLUME)} == volumes
    verbs = [
        call["call"]
        for call in project.calls[begin:]
        if call["call"] in {"ec2:RunInstances", "ec2:TerminateInstances"}
    ]
    assert verbs == ["ec2:TerminateInstances", "ec2:RunInstances"] * 3
    assert cloud.query("SELECT name FROM organizations") == [("First",)]
    assert cloud.health()["healthy"]


def test_no_role_was_too_narrow(cloud: Cloud) -> None:
    assert cloud.lines("denied") == []


def test_the_cluster_comes_back_in_a_second_region(cloud: Cloud) -> None:
    cloud.query("SELECT create_organization(gen_random_uuid(), 'Last')")
    leader = cloud.health()["leader"]
    cloud.on(leader, "runuser", "-u", "postgres", "--", "psql", "-Atc", "SELECT pg_switch_wal()")
    cloud.on(leader, "runuser", "-u", "postgres", "--", "pgbackrest", "--stanza=wedsync", "check")
    escrow = keys(cloud.project, LOST)
    for item in cloud.project.world.of(INSTANCE):  # the first region is gone
        if container := cloud.hosts.container(item.id):
            container.remove(v=True, force=True)

    write_stack_files(cloud.project, network=NETWORKS[RECOVERY])
    cloud.up(IMAGE)
    give_keys(cloud.project, RECOVERY, escrow)
    cloud.up(RECOVERY, *first_targets())
    copied = cloud.copy(cloud.bucket(LOST), cloud.bucket(RECOVERY))
    assert copied > 0
    cloud.up(RECOVERY)
    cloud.stack = RECOVERY
    assert cloud.health()["healthy"]
    found = cloud.query("SELECT name FROM organizations ORDER BY name")
    assert found == [("First",), ("Last",)]
    state = "SELECT frozen, reason FROM internal.sending_state"
    assert cloud.query(state) == [(True, "restored from a backup")]
    cloud.guestcomms("restore", "thaw", "--yes")
    cloud.query("SELECT create_organization(gen_random_uuid(), 'New')")
    assert cloud.lines("denied") == []


def test_the_stack_is_dismantled(cloud: Cloud) -> None:
    cloud.project.pulumi(RECOVERY, "state", "unprotect", "--all", "--yes")
    volumes = {item.id for item in cloud.project.world.of(VOLUME) if item.region == SECOND}
    cloud.project.destroy(RECOVERY)
    left = [item for item in cloud.project.world.of(INSTANCE, VOLUME) if item.region == SECOND]
    assert left == []
    assert not {file.name for file in (Path(cloud.world) / "volumes").iterdir()} & volumes
