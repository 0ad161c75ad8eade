"""A cluster on the simulated AWS whose instances really boot, from `pulumi up` to a second region.

The machines come up by the AWS program alone: image, user-data by the metadata service, secrets and
place file fetched with the instance's role, volumes as block devices, commands through Systems
Manager. Nothing in their network leads to the internet. A person's commands are `guestcomms`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import docker
import psycopg
import pytest
import yaml

from infra.aws.machine import packed
from infra.aws.ssm import SsmChannel
from infra.machine import machines as machines_of
from infra.spec import ClusterSpec, LocalPlace
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
from tests.fake_aws.hosts import site
from tests.fake_aws.hosts.machines import SITE, Hosts
from tests.fake_aws.kinds.names import BUCKET, INSTANCE, VOLUME
from tests.fake_aws.systems_manager import Booted
from tests.fake_aws.world import Item
from tests.ops.aws.project import Project, opened
from tests.waiting import wait_until
from tools.command import ROOT, VENV

SITE_NETWORK = "10.214.32.0/19"
NETWORKS = {LOST: "10.214.32.0/20", RECOVERY: "10.214.48.0/20"}
AGENT = "/opt/guestcomms/agent.pyz"
DATABASES = ("pg-1", "pg-2", "pg-3")
NEW_TYPES = {
    "database": "m7g.xlarge", "proxy": "t4g.small", "monitor": "t4g.small", "drill": "t4g.medium",
}  # fmt: skip
COPY = """
import sys
import botocore, botocore.session
from botocore.config import Config

source, target = sys.argv[1:]
store = botocore.session.get_session().create_client(
    "s3", endpoint_url="http://127.0.0.1:8333", region_name="eu-central-1",
    config=Config(signature_version=botocore.UNSIGNED, s3={"addressing_style": "path"}),
)
store.create_bucket(Bucket=target)
pages = store.get_paginator("list_objects_v2").paginate(Bucket=source, Prefix="wedsync/")
names = [each["Key"] for page in pages for each in page["Contents"]]
for name in names:
    store.copy_object(Bucket=target, Key=name, CopySource={"Bucket": source, "Key": name})
print(len(names))
"""


class Cloud:
    """The stacks, their machines, and how to reach them."""

    def __init__(self, project: Project, site_name: str) -> None:
        self.project, self.stack = project, LOST
        self.world, self.site = project.folder / "world", site_name
        self.hosts = Hosts(self.world, site_name)

    def up(self, stack: str, *arguments: str) -> None:
        """`pulumi up`, and how long it took."""
        done = self.project.up(stack, *arguments)
        told(f"{stack} {' '.join(arguments)}: up {self.project.seconds:.0f} s, {done}")

    def guestcomms(self, *arguments: str) -> Any:
        """What a command of a person prints, as JSON; its failure is the test's."""
        done = subprocess.run(
            [str(VENV / "bin" / "guestcomms"), "--stack", self.stack, *arguments, "--json"],
            env={**self.project.environment, "PGHOSTADDR": self.address("proxy-1")},
            cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def instance(self, machine: str) -> Item:
        """The instance of a machine of the stack."""
        own = f"urn:pulumi:{self.stack}::"
        (found,) = (
            item
            for item in self.project.world.of(INSTANCE)
            if item.urn.startswith(own) and item.urn.endswith(f"::{machine}")
        )
        return found

    def address(self, machine: str) -> str:
        """The address of a machine of the stack."""
        return str(self.instance(machine).get("privateIp"))

    def bucket(self, stack: str) -> str:
        """The bucket of a stack's backups."""
        (found,) = (
            item.id
            for item in self.project.world.of(BUCKET)
            if item.urn.startswith(f"urn:pulumi:{stack}::") and item.urn.endswith("::backups")
        )
        return found

    def on(self, machine: str, *command: str) -> str:
        """Run a command through Systems Manager, as the program does; its failure is the test's."""
        instance = self.instance(machine)
        answer = SsmChannel(self.project.ssm(instance.region), instance.id).run(*command)
        assert answer.code == 0, f"{machine}: {command}: {answer.output}{answer.errors}"
        return answer.output

    def health(self) -> dict[str, Any]:
        """What the first machine's agent says of the cluster."""
        return dict(json.loads(self.on("pg-1", AGENT, "health")))

    def query(
        self, sql: str, *, proxy: str = "proxy-1", role: str = "ops"
    ) -> list[tuple[Any, ...]]:
        """Run a statement through a proxy, which answers by the front door's name."""
        url = self.guestcomms("dsn", "--role", role)["dsn"]
        hostaddr = self.address(proxy)
        with psycopg.connect(url, hostaddr=hostaddr, autocommit=True) as session:
            cursor = session.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def lines(self, name: str) -> list[dict[str, Any]]:
        """What AWS's services have written down."""
        file = self.world / f"{name}.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture(scope="module")
def cloud(machine_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A stack with three database machines, made by `pulumi up` from nothing, and migrated."""
    folder = tmp_path_factory.mktemp("aws")
    with (
        site.opened(folder / "world", machine_image, SITE_NETWORK, (FIRST, SECOND)) as name,
        opened(folder, Booted(folder / "world", name), **{SITE: name}) as (project, _),
    ):
        project.up("aws-image")
        project.configure(
            LOST,
            network=NETWORKS[LOST],
            deletion_protection=False,
            volumes={
                "postgresql": {"size": "6GiB"},
                "etcd": {"size": "1GiB"},
                "prometheus": {"size": "2GiB"},
            },
        )
        project.configure_section(LOST, "machines", database={"memory": "1GiB", "cores": 2})
        made = Cloud(project, name)
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
    give_keys(cloud.project, escrow)
    cloud.up(RECOVERY, *first_targets())
    copied = copy(cloud, cloud.bucket(LOST), cloud.bucket(RECOVERY))
    assert copied > 0
    cloud.up(RECOVERY)
    cloud.stack = RECOVERY
    assert cloud.health()["healthy"]
    found = cloud.query("SELECT name FROM organizations ORDER BY name")
    assert found == [("First",), ("Last",)]
    state = "SELECT frozen, reason FROM internal.sending_state"
    assert cloud.query(state) == [(True, "restored from a backup")]
    cloud.guestcomms("restore", "thaw")
    cloud.query("SELECT create_organization(gen_random_uuid(), 'New')")
    assert cloud.lines("denied") == []


def copy(cloud: Cloud, source: str, target: str) -> int:
    """What S3's replication and `aws s3 sync` do: how many objects."""
    services = docker.from_env().containers.get(f"{cloud.site}-services")
    code, said = cast("Any", services.exec_run(["python3", "-c", COPY, source, target]))
    assert code == 0, said
    return int(said.decode())


def test_the_stack_is_dismantled(cloud: Cloud) -> None:
    cloud.project.pulumi(RECOVERY, "state", "unprotect", "--all", "--yes")
    volumes = {item.id for item in cloud.project.world.of(VOLUME) if item.region == SECOND}
    cloud.project.destroy(RECOVERY)
    left = [item for item in cloud.project.world.of(INSTANCE, VOLUME) if item.region == SECOND]
    assert left == []
    assert not {file.name for file in (Path(cloud.world) / "volumes").iterdir()} & volumes
