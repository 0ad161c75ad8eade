"""The machine image: looked up by the hash of what it was baked from, and fit for the types."""

from __future__ import annotations

import pulumi_aws as aws
from pulumi import InvokeOptions, RunError

from infra.aws.bake import content_hash
from infra.spec import AwsPlace, Machines, MachineSize

IMAGE_TAG = "guestcomms:image"


def architecture(place: AwsPlace, sizes: Machines, opts: InvokeOptions) -> str:
    """The processors of the chosen instance types, once these fit what the spec says of memory.

    Raises:
        RunError: names the type that is too small, or those that differ.
    """
    found: dict[str, str] = {}
    for kind, name in place.instance_types.model_dump().items():
        answer = aws.ec2.get_instance_type(instance_type=name, opts=opts)
        _check_size(kind, name, answer, getattr(sizes, kind))
        found[name] = next(a for a in answer.supported_architectures if a != "i386")
    if len(set(found.values())) != 1:
        listed = ", ".join(f"{name} is {kind}" for name, kind in found.items())
        raise RunError(
            "guestcomms:place.instance_types: one image serves all machines, so all need the"
            f" same architecture; {listed}"
        )
    return next(iter(found.values()))


def find(place: AwsPlace, edition: str, processors: str, opts: InvokeOptions) -> str:
    """The id of the newest image for this package list and these processors.

    Raises:
        RunError: none was baked yet.
    """
    if place.image:
        return place.image
    wanted = content_hash(edition)
    filters = {f"tag:{IMAGE_TAG}": wanted, "architecture": processors, "state": "available"}
    answer = aws.ec2.get_ami_ids(
        owners=["self"],
        filters=[{"name": key, "values": [value]} for key, value in filters.items()],
        opts=opts,
    )
    if not answer.ids:
        raise RunError(
            f"There is no machine image {wanted} for {processors} in {place.region}: bake it with"
            " `.venv/bin/guestcomms --stack aws-image up` (docs/how-to/deploy-on-aws.md), or name"
            " one in guestcomms:place.image"
        )
    return answer.ids[0]


def _check_size(
    kind: str, name: str, answer: aws.ec2.GetInstanceTypeResult, size: MachineSize
) -> None:
    if answer.memory_size < size.memory_mib or answer.default_vcpus < size.cores:
        raise RunError(
            f"guestcomms:machines.{kind} wants {size.memory_mib} MiB and {size.cores:g} cores, but"
            f" {name} has {answer.memory_size} MiB and {answer.default_vcpus}: choose a larger"
            f" guestcomms:place.instance_types.{kind} or lower the first"
        )
