"""A whole cluster on EC2: spec in, machines and their outputs out."""

from __future__ import annotations

from typing import Any

from pulumi import ComponentResource, InvokeOptions, ResourceOptions

from infra.agent.build import build as build_agent
from infra.aws import image
from infra.aws.flows import Flows
from infra.aws.identity import Identity
from infra.aws.keys import Keys
from infra.aws.layout import site
from infra.aws.machine import Body, Machine, MachineArgs
from infra.aws.network import Network
from infra.aws.provider import make_provider
from infra.machine import machines
from infra.machine.model import Machine as MachineModel
from infra.machine.model import Role
from infra.paths import AGENT
from infra.spec import GIB, AwsPlace, ClusterSpec


class AwsCluster(ComponentResource):
    """Network, keys, trust and machines of one stack; `outputs` is what people may know."""

    outputs: dict[str, Any]

    def __init__(self, name: str, spec: ClusterSpec) -> None:
        if not isinstance(spec.place, AwsPlace):
            raise TypeError(f"a spec for place {spec.place.kind} describes no cluster on AWS")
        provider = make_provider(spec.place, spec.stack)
        super().__init__(
            "guestcomms:aws:AwsCluster", name, None, ResourceOptions(providers=[provider])
        )
        self._spec, self._place = spec, spec.place
        self._child = ResourceOptions(parent=self)
        self._machines = machines(spec, build_agent(AGENT))
        self._keys = Keys(spec.stack, protect=self._place.deletion_protection, opts=self._child)
        self._network = Network(self._place, self._child)
        self._flows = Flows(
            self._network.vpc.id,
            self._network.endpoint_group.id,
            self._network.s3_prefix_list,
            self._place.clients,
            self._child,
        )
        lookup = InvokeOptions(parent=self)
        processors = image.architecture(self._place, spec.machines, lookup)
        self._image_id = image.find(self._place, spec.machines.image_edition, processors, lookup)
        self._place_machines()
        self.outputs = {}
        self.register_outputs({})

    def _place_machines(self) -> None:
        self.machines: dict[str, Machine] = {}
        for item in self._machines:
            args = self._args(item)
            body = Body(item, args, self._child)
            identity = Identity(item.name, self._spec.stack, [], self._child)
            self.machines[item.name] = Machine(
                item, args, body, identity, self._child, boot_tags={}, depends_on=[]
            )

    def _args(self, item: MachineModel) -> MachineArgs:
        stands = site(self._place, item.name, item.role)
        volumes = self._place.volumes
        root = int(volumes.root) // GIB
        if item.role is Role.DRILL:
            root += volumes.postgresql.size_gib
        return MachineArgs(
            site=stands,
            subnet_id=self._network.subnets[stands.zone].id,
            group_id=self._flows.group_id(item.role),
            image_id=self._image_id,
            instance_type=getattr(self._place.instance_types, item.role.value),
            key_arn=self._keys.arn("volumes"),
            root_gib=root,
            volumes={volume.name: getattr(volumes, volume.name) for volume in item.volumes},
            deletion_protection=self._place.deletion_protection,
        )
