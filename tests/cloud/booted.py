"""A site of the simulated AWS whose instances boot, and what a person does there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import docker
import psycopg

from infra.aws.ssm import SsmChannel
from tests.cloud.figures import told
from tests.fake_aws.hosts import site
from tests.fake_aws.hosts.machines import SITE, Hosts
from tests.fake_aws.kinds.names import BUCKET, INSTANCE
from tests.fake_aws.systems_manager import Booted
from tests.fake_aws.world import Item
from tests.ops.aws.project import Project, opened
from tools.command import ROOT, VENV

AGENT = "/opt/guestcomms/agent.pyz"
STORE = """
import sys
import botocore, botocore.session
from botocore.config import Config

store = botocore.session.get_session().create_client(
    "s3", endpoint_url="http://127.0.0.1:8333", region_name="eu-central-1",
    config=Config(signature_version=botocore.UNSIGNED, s3={"addressing_style": "path"}),
)
"""
COPY = (
    STORE
    + """
source, target = sys.argv[1:]
store.create_bucket(Bucket=target)
pages = store.get_paginator("list_objects_v2").paginate(Bucket=source, Prefix="wedsync/")
names = [each["Key"] for page in pages for each in page["Contents"]]
for name in names:
    store.copy_object(Bucket=target, Key=name, CopySource={"Bucket": source, "Key": name})
print(len(names))
"""
)
PUT = (
    STORE
    + """
from pathlib import Path
source, target = sys.argv[1:]
store.create_bucket(Bucket=target)
files = [file for file in Path(source).rglob("*") if file.is_file()]
for file in files:
    store.put_object(Bucket=target, Key=str(file.relative_to(source)), Body=file.read_bytes())
print(len(files))
"""
)


class Cloud:
    """The stacks, their machines, and how to reach them."""

    def __init__(self, project: Project, site_name: str, stack: str) -> None:
        self.project, self.stack = project, stack
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

    def copy(self, source: str, target: str) -> int:
        """What S3's replication and `aws s3 sync` do between buckets: how many objects."""
        return self._in_store(COPY, source, target)

    def put(self, folder: str, target: str) -> int:
        """What `aws s3 sync` does with a folder beneath the world's: how many objects."""
        return self._in_store(PUT, f"/world/{folder}", target)

    def _in_store(self, script: str, *arguments: str) -> int:
        services = docker.from_env().containers.get(f"{self.site}-services")
        code, said = cast("Any", services.exec_run(["python3", "-c", script, *arguments]))
        assert code == 0, said
        return int(said.decode())


@contextmanager
def account(
    folder: Path, machine_image: str, network: str, regions: tuple[str, ...], stack: str
) -> Iterator[Cloud]:
    """An account in which the image is baked; everything of it is removed at the end.

    Parameters: `folder`, for state and world; `network`, of all VPCs, as CIDR; `regions`, the first
    of them that of the image; `stack`, whom commands are for.
    """
    with (
        site.opened(folder / "world", machine_image, network, regions) as name,
        opened(folder, Booted(folder / "world", name), **{SITE: name}) as (project, _),
    ):
        project.up("aws-image")
        yield Cloud(project, name, stack)


def configure(cloud: Cloud, network: str, **place: Any) -> None:
    """Make the stack one that fits on a machine for tests."""
    volumes = {"postgresql": "6GiB", "etcd": "1GiB", "prometheus": "2GiB"}
    cloud.project.configure(
        cloud.stack,
        network=network,
        deletion_protection=False,
        volumes={name: {"size": size} for name, size in volumes.items()},
        **place,
    )
    cloud.project.configure_section(
        cloud.stack, "machines", database={"memory": "1GiB", "cores": 2}
    )
