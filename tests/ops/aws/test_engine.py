"""The real engine over the simulated AWS: every step of a stack's life, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.automation import CommandError

from tests.fake_aws.kinds.names import INSTANCE, NETWORK_INTERFACE, SECURITY_GROUP, VOLUME
from tests.fake_aws.world import World
from tests.ops.aws.engine import Inline

pytestmark = [
    # pulumi_aws warns of names of its own that it has replaced, at import.
    pytest.mark.filterwarnings("ignore:.* has been deprecated:DeprecationWarning"),
    # Pulumi leaves the event loop of an inline program that failed to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ZONE = "eu-central-1a"
DEBIAN = "136693071363"


def machine(
    *,
    instance_type: str = "m7g.large",
    user_data: str = "#cloud-config\n",
    subnet_cidr: str = "10.60.1.0/24",
    group: str | None = None,
    image: str | None = None,
) -> Callable[[], None]:
    """A program: one machine in a network, with an interface and a volume that outlive it."""

    def program() -> None:
        import pulumi_aws as aws

        vpc = aws.ec2.Vpc("net", cidr_block="10.60.0.0/16")
        subnet = aws.ec2.Subnet("a", vpc_id=vpc.id, cidr_block=subnet_cidr, availability_zone=ZONE)
        own = aws.ec2.SecurityGroup("db", vpc_id=vpc.id, description="database machines")
        interface = aws.ec2.NetworkInterface(
            "pg-1",
            subnet_id=subnet.id,
            private_ips=["10.60.1.11"],
            security_groups=[group or own.id],
        )
        volume = aws.ebs.Volume("pg-1", availability_zone=ZONE, size=50, type="gp3", encrypted=True)
        debian = aws.ec2.get_ami(
            owners=[DEBIAN],
            filters=[{"name": "architecture", "values": ["arm64"]}],
            most_recent=True,
        )
        instance = aws.ec2.Instance(
            "pg-1",
            ami=image or debian.id,
            instance_type=instance_type,
            primary_network_interface={"network_interface_id": interface.id},
            user_data=user_data,
            user_data_replace_on_change=True,
            opts=pulumi.ResourceOptions(delete_before_replace=True),
        )
        aws.ec2.VolumeAttachment(
            "pg-1",
            instance_id=instance.id,
            volume_id=volume.id,
            device_name="/dev/sdf",
            opts=pulumi.ResourceOptions(delete_before_replace=True),
        )
        pulumi.export("address", instance.private_ip)

    return program


ALL_OF_IT = 8  # seven resources and the stack itself


def ids(world: World, token: str) -> set[str]:
    return {item.id for item in world.of(token)}


def test_a_stack_lives(tmp_path: Path) -> None:
    stack = Inline(tmp_path, machine())
    assert stack.preview() == {"create": ALL_OF_IT}
    assert not stack.world.items
    assert stack.up() == {"create": ALL_OF_IT}
    assert stack.stack.outputs()["address"].value == "10.60.1.11"
    assert stack.up() == {"same": ALL_OF_IT}
    before = stack.world

    stack.program(machine(instance_type="m7g.xlarge"))
    assert stack.up() == {"same": ALL_OF_IT - 1, "update": 1}
    assert stack.calls[-1] == "ec2:ModifyInstanceAttribute"
    assert ids(stack.world, INSTANCE) == ids(before, INSTANCE)

    # Other user-data is another instance, on the same interface and the same volume.
    stack.program(machine(instance_type="m7g.xlarge", user_data="#cloud-config\nhostname: pg-1\n"))
    assert stack.up() == {"same": ALL_OF_IT - 2, "replace": 2}
    replaced = stack.calls[-4:]
    assert replaced == [
        "ec2:DetachVolume", "ec2:TerminateInstances", "ec2:RunInstances", "ec2:AttachVolume",
    ]  # fmt: skip
    assert ids(stack.world, INSTANCE) != ids(before, INSTANCE)
    for token in (NETWORK_INTERFACE, VOLUME):
        assert ids(stack.world, token) == ids(before, token)

    # Somebody changes the type by hand and deletes the volume's attachment: refresh finds both.
    with World.changing(tmp_path / "world") as world:
        (instance,) = world.of(INSTANCE)
        instance.inputs["instanceType"] = "m7g.2xlarge"
        (attachment,) = world.of("aws:ec2/volumeAttachment:VolumeAttachment")
        world.remove(attachment)
    assert stack.refresh() == {"same": ALL_OF_IT - 2, "update": 1, "delete": 1}
    assert stack.up() == {"same": ALL_OF_IT - 2, "update": 1, "create": 1}
    assert stack.world.of(INSTANCE)[0].get("instanceType") == "m7g.xlarge"

    assert stack.destroy() == {"delete": ALL_OF_IT}
    assert not stack.world.items


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (machine(subnet_cidr="10.99.1.0/24"), "InvalidSubnet.Range"),
        (machine(group="sg-0123456789abcdef0"), "InvalidGroup.NotFound"),
        (machine(image="ami-0123456789abcdef0"), "InvalidAMIID.NotFound"),
        (machine(instance_type="m7g.huge"), "'m7g.huge' is none of"),
    ],
    ids=["subnet", "group", "image", "type"],
)
def test_what_is_wrong_is_named_and_not_made(
    tmp_path: Path, program: Callable[[], Any], words: str
) -> None:
    stack = Inline(tmp_path, program)
    with pytest.raises(CommandError, match=words):
        stack.up()
    assert not stack.world.of(INSTANCE)


@pytest.mark.parametrize("empties", [True, False])
def test_a_bucket_goes_with_what_was_left_in_it_only_if_the_program_says_so(
    tmp_path: Path, *, empties: bool
) -> None:
    def program() -> None:
        import pulumi_aws as aws

        bucket = aws.s3.Bucket("delivery", force_destroy=empties)
        left = pulumi.ResourceOptions(retain_on_delete=True)
        aws.s3.BucketObjectv2("agent", bucket=bucket.id, key="agent", content="x", opts=left)

    stack = Inline(tmp_path, program)
    stack.up()
    if not empties:
        with pytest.raises(CommandError, match=r"DependencyViolation.*delivery-\w+/agent"):
            stack.destroy()
        return
    stack.destroy()
    assert not stack.world.items


def test_somebody_elses_use_stops_a_deletion(tmp_path: Path) -> None:
    stack = Inline(tmp_path, machine())
    stack.up()
    with World.changing(tmp_path / "world") as world:
        (group,) = (each for each in world.of(SECURITY_GROUP) if not each.owner)
        (own,) = world.of(NETWORK_INTERFACE)
        theirs = type(own)(NETWORK_INTERFACE, "eni-theirs", own.region, {})
        theirs.refs = [(SECURITY_GROUP, group.id, "securityGroups")]
        world.add(theirs)
    with pytest.raises(CommandError, match=r"DependencyViolation.*eni-theirs"):
        stack.destroy()


def test_what_the_simulation_does_not_know_is_an_error(tmp_path: Path) -> None:
    def program() -> None:
        import pulumi_aws as aws

        aws.sqs.Queue("queue")

    with pytest.raises(CommandError, match="no rule for the resource type aws:sqs/queue:Queue"):
        Inline(tmp_path, program).up()
