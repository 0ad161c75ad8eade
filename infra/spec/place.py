"""Where a cluster is: this machine, or AWS."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import ByteSize, Discriminator, Field, Tag, model_validator

from infra.spec.fields import GIB, InstanceType, Network, Port, Region, Section, VolumeSize


class Ports(Section):
    """Ports on 127.0.0.1 that lead to the cluster."""

    read_write: Port = 5432
    read_only: Port = 5433
    direct: Port = 5434
    """PostgreSQL of the leader without the pooler: for migrations and session features."""
    prometheus: Port = 9090
    alertmanager: Port = 9093
    statistics: Port = 8404

    @model_validator(mode="after")
    def _distinct(self) -> Ports:
        used: dict[int, str] = {}
        for key in type(self).model_fields:
            port = getattr(self, key)
            if port in used:
                raise ValueError(f"{used[port]} and {key} both want port {port}; give each its own")
            used[port] = key
        return self


class LocalPlace(Section):
    """The cluster as systemd containers on this machine's Docker engine."""

    kind: Literal["local"] = "local"
    ports: Ports = Ports()


class InstanceTypes(Section):
    """EC2 instance types, all of one processor architecture."""

    database: InstanceType = "r7g.large"
    proxy: InstanceType = "c7g.medium"
    monitor: InstanceType = "t4g.medium"
    drill: InstanceType = "m7g.large"


class DataVolume(Section):
    """A gp3 volume: its size, and what it does each second beyond gp3's own 3000 and 125.

    Source: https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
    """

    size: VolumeSize = ByteSize(20 * GIB)
    iops: Annotated[int, Field(ge=3000, le=16000)] = 3000
    throughput_mib: Annotated[int, Field(ge=125, le=1000)] = 125
    """MiB per second."""

    @property
    def size_gib(self) -> int:
        """Size in GiB."""
        return int(self.size) // GIB

    @model_validator(mode="after")
    def _in_proportion(self) -> DataVolume:
        if self.iops > max(3000, 500 * self.size_gib):
            raise ValueError(f"gp3 gives 500 iops a GiB, so at most {500 * self.size_gib} here")
        if self.throughput_mib * 4 > self.iops:
            raise ValueError(f"{self.throughput_mib} MiB/s need {4 * self.throughput_mib} iops")
        return self


class DataVolumes(Section):
    """The volumes that outlive machines, and how large the others' own disks are."""

    postgresql: DataVolume = DataVolume(size=ByteSize(100 * GIB))
    etcd: DataVolume = DataVolume(size=ByteSize(4 * GIB))
    """Its own: a slow disk under etcd makes the cluster lose its leader."""
    prometheus: DataVolume = DataVolume(size=ByteSize(20 * GIB))
    root: VolumeSize = ByteSize(20 * GIB)
    """Disk of the operating system; the drill machine's has room for a restored database too."""


class AwsPlace(Section):
    """The cluster on EC2, in a network of its own over three availability zones."""

    kind: Literal["aws"] = "aws"
    region: Region
    zones: Annotated[tuple[str, ...], Field(min_length=3, max_length=3)]
    """Three, so that the loss of one leaves a majority; such as eu-central-1a."""
    account: Annotated[str, Field(pattern=r"^\d{12}$")] | None = None
    """The only account that this stack may be brought up in."""
    network: Network = "10.60.0.0/16"
    clients: tuple[Network, ...] = ()
    """Networks that may connect to the front door, such as those of peered VPCs."""
    client_accounts: tuple[Annotated[str, Field(pattern=r"^\d{12}$")], ...] = ()
    """Accounts that may make a private endpoint to the front door in networks of their own."""
    domain: Annotated[str, Field(pattern=r"^([a-z0-9-]+\.)+[a-z]+$")] = "guestcomms.internal"
    """The front door is `db.<stack>.<domain>`, in a private zone of this network."""
    instance_types: InstanceTypes = InstanceTypes()
    volumes: DataVolumes = DataVolumes()
    image: Annotated[str, Field(pattern=r"^ami-[0-9a-f]{8,17}$")] | None = None
    """A machine image by id; without one the newest that was baked from this package list."""
    copy_region: Region | None = None
    """Where a second copy of the backups is kept; none without."""
    noncurrent_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """So long a deleted or overwritten version is kept beyond its object lock."""
    endpoints_in_every_zone: bool = True
    """Off: one zone's loss also cuts the others from AWS's services, for a third of the price."""
    deletion_protection: bool = True
    """What holds data, and the front door, can only be removed after this is off."""
    notify: tuple[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")], ...] = ()
    """Mail addresses for alarms; each must confirm once."""
    tags: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9+=._:@-]{1,120}$")], str]
    """Tags of every resource; `cost-center` and `owner` must be among them."""

    REQUIRED_TAGS: ClassVar[tuple[str, ...]] = ("cost-center", "owner")

    @model_validator(mode="after")
    def _zones_of_region(self) -> AwsPlace:
        wrong = [zone for zone in self.zones if not re.fullmatch(self.region + "[a-z]", zone)]
        if wrong or len(set(self.zones)) != len(self.zones):
            raise ValueError(
                f"zones must be three different ones of {self.region}, such as {self.region}a;"
                f" got {', '.join(self.zones)}"
            )
        return self

    @model_validator(mode="after")
    def _network_of_its_own(self) -> AwsPlace:
        own = ipaddress.ip_network(self.network)
        if not 16 <= own.prefixlen <= 20:
            raise ValueError(f"network must be between /16 and /20, got {self.network}")
        for client in self.clients:
            if own.overlaps(ipaddress.ip_network(client)):
                raise ValueError(f"clients {client} overlaps the cluster's own {self.network}")
        return self

    @model_validator(mode="after")
    def _copy_elsewhere(self) -> AwsPlace:
        if self.copy_region == self.region:
            raise ValueError(f"copy_region must be another region than {self.region}")
        return self

    @model_validator(mode="after")
    def _tagged(self) -> AwsPlace:
        if missing := [tag for tag in self.REQUIRED_TAGS if not self.tags.get(tag)]:
            raise ValueError(f"tags must name {' and '.join(missing)}: bills are read by them")
        return self


class AwsImagePlace(Section):
    """No cluster but the machine image for those of one region, and what bakes it."""

    kind: Literal["aws-image"] = "aws-image"
    region: Region
    account: Annotated[str, Field(pattern=r"^\d{12}$")] | None = None
    architecture: Literal["arm64", "x86_64"] = "arm64"
    instance_type: InstanceType = "c7g.large"
    """On which the image is baked."""
    tags: dict[str, str] = Field(default_factory=dict)


def _kind(place: object) -> str:
    """By which class a place is read; without a kind it is this machine."""
    if isinstance(place, Section):
        return str(getattr(place, "kind", "local"))
    return str(place.get("kind", "local")) if isinstance(place, Mapping) else "local"


Place = Annotated[
    Annotated[LocalPlace, Tag("local")]
    | Annotated[AwsPlace, Tag("aws")]
    | Annotated[AwsImagePlace, Tag("aws-image")],
    Discriminator(_kind),
]
PLACES: Mapping[str, type[Section]] = {
    "local": LocalPlace, "aws": AwsPlace, "aws-image": AwsImagePlace,
}  # fmt: skip
