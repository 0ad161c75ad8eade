"""The image factory: EC2 Image Builder bakes the machine image of one region.

It stands in a stack of its own, because its build machines need Debian's mirrors, hence the
internet, and no machine of a cluster does. `pulumi up` bakes the image and waits for it. A change
of what it is baked from, or of `machines.image_edition`, bakes another one; AMIs that were baked
before stay until somebody deregisters them.
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pulumi_aws as aws
import yaml
from pulumi import ComponentResource, InvokeOptions, Output, ResourceOptions

from infra.aws.bake import BOOT_FILES, EC2_SETUP, content_hash, packages
from infra.aws.identity import ROLES
from infra.aws.image import IMAGE_TAG
from infra.aws.keys import account, key_policy, make_key
from infra.aws.provider import make_provider
from infra.machine import image
from infra.spec import AwsImagePlace, ClusterSpec

DEBIAN = "136693071363"
"""Debian's own account. Source: https://wiki.debian.org/Cloud/AmazonEC2Image"""

NETWORK = "10.59.0.0/24"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
DISK_GIB = 10


class ImageFactory(ComponentResource):
    """Network with a way out, recipe and image; `outputs` names it."""

    outputs: dict[str, Any]

    def __init__(self, name: str, spec: ClusterSpec) -> None:
        if not isinstance(spec.place, AwsImagePlace):
            raise TypeError(f"a spec for place {spec.place.kind} describes no image factory")
        self._place, self._hash = spec.place, content_hash(spec.machines.image_edition)
        provider = make_provider(spec.place, spec.stack)
        super().__init__(
            "guestcomms:aws:ImageFactory", name, None, ResourceOptions(providers=[provider])
        )
        self._child = ResourceOptions(parent=self)
        self._name = f"guestcomms-{self._place.architecture.replace('_', '-')}-{self._hash}"
        policy = key_policy(account(InvokeOptions(parent=self)), [])
        self._key = make_key("images", "guestcomms: machine images", policy, self._child)
        recipe, builders = self._recipe(), self._infrastructure()
        distribution = self._distribution()
        made = aws.imagebuilder.Image(
            "image",
            image_recipe_arn=recipe.arn,
            infrastructure_configuration_arn=builders.arn,
            distribution_configuration_arn=distribution.arn,
            image_tests_configuration={"image_tests_enabled": True, "timeout_minutes": 60},
            opts=self._child,
        )
        self.outputs = {
            "stack": spec.stack,
            "place": "aws-image",
            "image": made.output_resources.apply(
                lambda found: found[0].amis[0].image if found and found[0].amis else None
            ),
            "content": self._hash,
        }
        self.register_outputs({})

    def _recipe(self) -> aws.imagebuilder.ImageRecipe:
        component = aws.imagebuilder.Component(
            "machine",
            name=self._name,
            version="1.0.0",
            platform="Linux",
            description="Everything that a machine of guestcomms needs",
            data=component_document(),
            opts=self._child,
        )
        base = aws.ec2.get_ami(
            most_recent=True,
            owners=[DEBIAN],
            filters=[
                {"name": "name", "values": [f"debian-13-{self._debian_architecture}-*"]},
                {"name": "architecture", "values": [self._place.architecture]},
            ],
            opts=InvokeOptions(parent=self),
        )
        return aws.imagebuilder.ImageRecipe(
            "machine",
            name=self._name,
            version="1.0.0",
            parent_image=base.id,
            components=[{"component_arn": component.arn}],
            block_device_mappings=[
                {
                    "device_name": "/dev/xvda",
                    "ebs": {
                        "encrypted": "true",
                        "kms_key_id": self._key.arn,
                        "volume_size": DISK_GIB,
                        "volume_type": "gp3",
                        "delete_on_termination": "true",
                    },
                }
            ],
            # Image Builder installs the SSM agent where a base has none; ours stays in the image.
            systems_manager_agent={"uninstall_after_build": False},
            opts=ResourceOptions(parent=self, ignore_changes=["parentImage"]),
        )

    @property
    def _debian_architecture(self) -> str:
        return "arm64" if self._place.architecture == "arm64" else "amd64"

    def _infrastructure(self) -> aws.imagebuilder.InfrastructureConfiguration:
        vpc = aws.ec2.Vpc(
            "builder", cidr_block=NETWORK, tags={"Name": "guestcomms-builder"}, opts=self._child
        )
        way_out = aws.ec2.InternetGateway("builder", vpc_id=vpc.id, opts=self._child)
        subnet = aws.ec2.Subnet(
            "builder",
            vpc_id=vpc.id,
            cidr_block=NETWORK,
            map_public_ip_on_launch=True,
            opts=self._child,
        )
        routes = aws.ec2.RouteTable(
            "builder",
            vpc_id=vpc.id,
            routes=[{"cidr_block": "0.0.0.0/0", "gateway_id": way_out.id}],
            opts=self._child,
        )
        aws.ec2.RouteTableAssociation(
            "builder", subnet_id=subnet.id, route_table_id=routes.id, opts=self._child
        )
        group = aws.ec2.SecurityGroup(
            "builder",
            description="Build machines: out to mirrors and AWS, nothing in",
            vpc_id=vpc.id,
            opts=self._child,
        )
        for port in (80, 443):
            aws.vpc.SecurityGroupEgressRule(
                f"builder-{port}",
                security_group_id=group.id,
                cidr_ipv4="0.0.0.0/0",
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                description="mirrors of Debian, and AWS services",
                opts=self._child,
            )
        return aws.imagebuilder.InfrastructureConfiguration(
            "builder",
            name=self._name,
            instance_profile_name=self._profile(),
            instance_types=[self._place.instance_type],
            subnet_id=subnet.id,
            security_group_ids=[group.id],
            instance_metadata_options={"http_tokens": "required", "http_put_response_hop_limit": 1},
            terminate_instance_on_failure=True,
            opts=self._child,
        )

    def _profile(self) -> Output[str]:
        role = aws.iam.Role("builder", path=ROLES, assume_role_policy=TRUST, opts=self._child)
        for policy in ("EC2InstanceProfileForImageBuilder", "AmazonSSMManagedInstanceCore"):
            aws.iam.RolePolicyAttachment(
                policy, role=role.name, policy_arn=f"arn:aws:iam::aws:policy/{policy}",
                opts=self._child,
            )  # fmt: skip
        profile = aws.iam.InstanceProfile("builder", path=ROLES, role=role.name, opts=self._child)
        return profile.name

    def _distribution(self) -> aws.imagebuilder.DistributionConfiguration:
        return aws.imagebuilder.DistributionConfiguration(
            "region",
            name=self._name,
            distributions=[
                {
                    "region": self._place.region,
                    "ami_distribution_configuration": {
                        "name": f"{self._name}-{{{{ imagebuilder:buildDate }}}}",
                        "kms_key_id": self._key.arn,
                        "ami_tags": {IMAGE_TAG: self._hash},
                    },
                }
            ],
            opts=self._child,
        )


def component_document() -> str:
    """What Image Builder runs on the build machine, as its YAML document.

    The same packages and the same setup.sh as the local image, then what only EC2 needs.
    Source: https://docs.aws.amazon.com/imagebuilder/latest/userguide/toe-use-documents.html
    """
    document = {
        "name": "guestcomms-machine",
        "schemaVersion": 1.0,
        "phases": [
            {
                "name": "build",
                "steps": [
                    _step("NoClusterOfDebiansOwn", _no_cluster()),
                    _step("Packages", _install()),
                    _step("Setup", image.setup_script().read_text(encoding="utf-8")),
                    _step("BootFiles", _boot_files()),
                    _step("Ec2", EC2_SETUP),
                ],
            },
            {"name": "validate", "steps": [_step("Programs", _validation())]},
        ],
    }
    return yaml.safe_dump(document, sort_keys=False, width=1000)


def _step(name: str, script: str) -> dict[str, Any]:
    return {"name": name, "action": "ExecuteBash", "inputs": {"commands": [f"set -eu\n{script}"]}}


def _no_cluster() -> str:
    return (
        "mkdir -p /etc/postgresql-common/createcluster.d\n"
        'echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.d/10-none.conf\n'
    )


def _install() -> str:
    return (
        "export DEBIAN_FRONTEND=noninteractive\n"
        "apt-get update -qq\napt-get -y -qq upgrade\n"
        f"apt-get install -y -qq --no-install-recommends {' '.join(packages())}\n"
        "rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb\n"
    )


def _boot_files() -> str:
    lines = []
    for file in BOOT_FILES:
        # Packed: Image Builder takes documents of at most 16,000 characters.
        packed = base64.b64encode(gzip.compress(file.content.encode(), mtime=0)).decode()
        lines.append(
            f"echo {packed} | base64 -d | gunzip > {file.path}\nchmod {file.mode} {file.path}\n"
        )
    return "".join(lines)


def _validation() -> str:
    programs = "patroni etcd pgbouncer pgbackrest haproxy prometheus cloud-init guestcomms-fetch"
    return (
        f"for program in {programs}; do command -v $program; done\n"
        "python3 -c 'import botocore, psycopg, cryptography'\n"
        "systemctl is-enabled guestcomms-fetch.service\n"
        "! systemctl is-enabled ssh.service\n"
    )
