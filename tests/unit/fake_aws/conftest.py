"""A small world to begin with, and a shorter way to say what to make in it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.fake_aws import lifecycle
from tests.fake_aws.kinds import KINDS
from tests.fake_aws.kinds.names import NETWORK_INTERFACE, SECURITY_GROUP, SUBNET, VPC
from tests.fake_aws.lookups import get_ami
from tests.fake_aws.world import Item, World

REGION = "eu-central-1"
TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",'
    ' "Principal": {"Service": "ec2.amazonaws.com"}}]}'
)


class Aws:
    """A world with a network, one subnet, one security group and one interface."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.numbers = itertools.count()
        self.vpc = self.make(VPC, cidrBlock="10.60.0.0/16", enableDnsHostnames=True).id
        self.subnet = self.make(
            SUBNET, vpcId=self.vpc, cidrBlock="10.60.1.0/24", availabilityZone=f"{REGION}a"
        ).id
        self.group = self.make(SECURITY_GROUP, vpcId=self.vpc, name="db", description="db").id
        self.interface = self.make(
            NETWORK_INTERFACE,
            subnetId=self.subnet,
            privateIps=["10.60.1.11"],
            securityGroups=[self.group],
        ).id
        self.image = self.debian("arm64")

    def debian(self, architecture: str) -> str:
        """The id of Debian's image."""
        name = {"name": "architecture", "values": [architecture]}
        return str(get_ami(self.world, REGION, {"filters": [name], "mostRecent": True})["id"])

    def make(self, token: str, **inputs: Any) -> Item:
        """Make a thing as the provider would, its calls checked first."""
        kind, where = KINDS[token], self.where(token)
        lifecycle.check(kind, inputs, REGION, {})
        return lifecycle.create(self.world, kind, inputs, where)

    def change(self, item: Item, **inputs: Any) -> Item:
        """Give a thing other properties."""
        kind = KINDS[item.token]
        news = {**item.inputs, **inputs}
        lifecycle.check(kind, news, REGION, {})
        return lifecycle.update(self.world, kind, item.id, news, self.where(item.token))

    def delete(self, item: Item | str, token: str = "") -> None:
        """Delete a thing."""
        ident = item if isinstance(item, str) else item.id
        token = token or getattr(item, "token", "")
        lifecycle.delete(self.world, KINDS[token], ident, {})

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The accepted calls."""
        lines = (self.world.folder / "calls.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def where(self, token: str) -> lifecycle.Where:
        """A resource that nobody has had before."""
        return lifecycle.Where(f"urn:pulumi:t::p::{token}::{next(self.numbers)}", REGION, {})


@pytest.fixture
def aws(tmp_path: Path) -> Aws:
    """A small world."""
    return Aws(tmp_path)
