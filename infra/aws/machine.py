"""One machine: an instance that can go, on an interface and volumes that stay.

The interface keeps the address, the volumes keep the data; the instance boots the same user-data
as a local machine and is replaced as a whole when that, the image or its type changes.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi_aws as aws
from pulumi import ComponentResource, Input, Output, Resource, ResourceOptions

from infra.aws.identity import Identity
from infra.aws.layout import Site
from infra.machine.model import Machine as MachineModel
from infra.spec import DataVolume

DEVICES = ("/dev/sdf", "/dev/sdg", "/dev/sdh", "/dev/sdi")
"""Names for volumes, in order; Nitro instances show them as NVMe disks, known by volume id.
Source: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-using-volumes.html"""


@dataclass(frozen=True, kw_only=True)
class MachineArgs:
    """A machine as the place `aws` needs it."""

    site: Site
    subnet_id: Input[str]
    group_id: Input[str]
    image_id: Input[str]
    instance_type: str
    key_arn: Input[str]
    root_gib: int
    volumes: Mapping[str, DataVolume]
    """Name of each of the machine's volumes → how large and fast it is."""
    deletion_protection: bool


class Body(ComponentResource):
    """What outlives the instance: interface and volumes."""

    def __init__(self, item: MachineModel, args: MachineArgs, opts: ResourceOptions) -> None:
        super().__init__("guestcomms:aws:Body", item.name, None, opts)
        self.address = args.site.address
        self.interface = aws.ec2.NetworkInterface(
            item.name,
            description=f"guestcomms {item.name}",
            subnet_id=args.subnet_id,
            private_ips=[args.site.address],
            security_groups=[args.group_id],
            tags={"Name": f"guestcomms-{item.name}"},
            opts=ResourceOptions(parent=self),
        )
        self.names = {volume.path: f"{item.name}-{volume.name}" for volume in item.volumes}
        self.volumes: dict[str, aws.ebs.Volume] = {
            volume.path: aws.ebs.Volume(
                self.names[volume.path],
                availability_zone=args.site.zone,
                size=args.volumes[volume.name].size_gib,
                type="gp3",
                iops=args.volumes[volume.name].iops,
                throughput=args.volumes[volume.name].throughput_mib,
                encrypted=True,
                kms_key_id=args.key_arn,
                final_snapshot=True,
                tags={"Name": f"guestcomms-{self.names[volume.path]}"},
                opts=ResourceOptions(parent=self, protect=args.deletion_protection),
            )
            for volume in item.volumes
        }
        self.register_outputs({})


class Machine(ComponentResource):
    """The instance, with its body attached."""

    def __init__(
        self,
        item: MachineModel,
        args: MachineArgs,
        body: Body,
        identity: Identity,
        opts: ResourceOptions,
        *,
        boot_tags: Mapping[str, Input[str]],
        depends_on: Sequence[Resource],
    ) -> None:
        """Parameters: `boot_tags`, from which the instance knows what to fetch at boot."""
        super().__init__("guestcomms:aws:Machine", item.name, None, opts)
        self.body = body
        self.instance = aws.ec2.Instance(
            item.name,
            ami=args.image_id,
            instance_type=args.instance_type,
            user_data_base64=packed(item.user_data),
            user_data_replace_on_change=True,
            iam_instance_profile=identity.profile,
            primary_network_interface={"network_interface_id": body.interface.id},
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",  # IMDSv2 only
                "http_put_response_hop_limit": 1,
                "instance_metadata_tags": "enabled",
            },
            root_block_device={
                "volume_type": "gp3",
                "volume_size": args.root_gib,
                "encrypted": True,
                "kms_key_id": args.key_arn,
                "delete_on_termination": True,
                "tags": {"Name": f"guestcomms-{item.name}-root"},
            },
            ebs_optimized=True,
            monitoring=True,  # a point a minute: alarms see a fault sooner
            maintenance_options={"auto_recovery": "default"},
            # Against other hands; the stack itself replaces instances, they hold no data.
            disable_api_termination=args.deletion_protection,
            force_destroy=True,
            tags={"Name": f"guestcomms-{item.name}", **boot_tags},
            opts=ResourceOptions(
                parent=self,
                depends_on=[identity.policy, *depends_on],
                delete_before_replace=True,  # interface and volumes allow only one
                # EC2 would stop and start the instance: no handover, and nobody waits for health.
                replace_on_changes=["instanceType", "ebsOptimized"],
            ),
        )
        self.attachments = [
            aws.ec2.VolumeAttachment(
                body.names[path],
                instance_id=self.instance.id,
                volume_id=volume.id,
                device_name=device,
                stop_instance_before_detaching=True,
                opts=ResourceOptions(parent=self, delete_before_replace=True),
            )
            for device, (path, volume) in zip(DEVICES, body.volumes.items(), strict=False)
        ]
        self.instance_id: Output[str] = self.instance.id
        self.register_outputs({})


def packed(user_data: str) -> str:
    """User-data as EC2 takes it: gzipped, because it is longer than 16 KiB, and in base64."""
    return base64.b64encode(gzip.compress(user_data.encode(), mtime=0)).decode()
