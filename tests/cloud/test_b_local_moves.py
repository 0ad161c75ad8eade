"""A cluster moves from local machines to AWS, by the steps of docs/how-to/deploy-on-aws.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.session import Session

from tests.cloud.booted import Cloud, account, configure
from tests.cloud.figures import told
from tests.cloud.regions import FIRST, first_targets, give_keys
from tests.ops.cluster.harness import Cluster

STACK = "aws-staging"
NETWORK = "10.214.32.0/19"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster that moves; it has an organization."""
    with closing(Cluster(tmp_path_factory.mktemp("local"))) as cluster:
        cluster.run("up", "--yes")
        cluster.query("SELECT create_organization(gen_random_uuid(), 'Ours')", "--role", "ops")
        yield cluster


@pytest.fixture(scope="module")
def cloud(machine_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An account with a stack file that says it begins with a backup."""
    folder = tmp_path_factory.mktemp("aws")
    with account(folder, machine_image, NETWORK, (FIRST,), STACK) as made:
        configure(made, NETWORK)
        file = made.project.folder / "stacks" / f"Pulumi.{STACK}.yaml"
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        content["config"]["guestcomms:bootstrap"] = "restore"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        yield made


def test_a_local_cluster_goes_on_in_aws(local: Cluster, cloud: Cloud, tmp_path: Path) -> None:
    local.run("backup", "run", "full", "--wait")
    escrow = tmp_path / "escrow"
    local.run("secrets", "export", str(escrow))
    copied = copy_out(local, cloud.world / "repository", tmp_path)
    local.run("down", "--yes")

    give_keys(cloud.project, STACK, json.loads(escrow.read_text())["secrets"])
    cloud.up(STACK, *first_targets())
    assert cloud.put("repository", cloud.bucket(STACK)) == copied
    told(f"{STACK}: {copied} objects of the repository brought over")
    cloud.up(STACK)

    assert cloud.health()["healthy"]
    assert cloud.query("SELECT name FROM organizations") == [("Ours",)]
    state = "SELECT frozen, reason FROM internal.sending_state"
    assert cloud.query(state) == [(True, "restored from a backup")]
    cloud.guestcomms("restore", "thaw")
    assert cloud.guestcomms("backup", "run", "incremental")
    assert cloud.lines("denied") == []


def copy_out(local: Cluster, folder: Path, scratch: Path) -> int:
    """What `aws s3 sync` does with the drill machine's keys, which may only read."""
    authority = scratch / "ca.crt"
    authority.write_text(json.loads(output(local, "ca_certificate")))
    address = json.loads(output(local, "machines"))["store-1"]["address"]
    keys = json.loads(local.on("drill-1", "cat /etc/guestcomms/secrets/repository.json"))
    store: Any = Session().create_client(
        "s3",
        endpoint_url=f"https://{address}:8333",
        region_name="us-east-1",
        aws_access_key_id=keys["access_key"],
        aws_secret_access_key=keys["secret_key"],
        verify=str(authority),
    )
    pages = store.get_paginator("list_objects_v2").paginate(
        Bucket="wedsync-backups", Prefix="wedsync/"
    )
    names = [each["Key"] for page in pages for each in page["Contents"]]
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(store.get_object(Bucket="wedsync-backups", Key=name)["Body"].read())
    assert (folder / "wedsync/backup/wedsync/backup.info").read_bytes().startswith(b"Salted__")
    return len(names)


def output(local: Cluster, name: str) -> str:
    """A stack output, as JSON."""
    return local.run("pulumi", "--", "stack", "output", name, "--json").stdout
