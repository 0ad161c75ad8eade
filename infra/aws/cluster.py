"""A whole cluster on EC2: spec in, machines and their outputs out."""

from __future__ import annotations

from functools import partial
from typing import Any

import pulumi_aws as aws
from pulumi import ComponentResource, InvokeOptions, Output, Resource, ResourceOptions

from infra.agent.build import build as build_agent
from infra.aws import image
from infra.aws.backups import BackupStore
from infra.aws.delivery import Box, Delivery
from infra.aws.flows import FRONT_DOOR, FRONT_DOOR_PORTS, HTTPS, Flows
from infra.aws.front_door import FrontDoor, Target, front_door_name
from infra.aws.identity import Identity, Statement
from infra.aws.keys import Keys
from infra.aws.layout import site
from infra.aws.machine import Body, Machine, MachineArgs
from infra.aws.network import Network
from infra.aws.provider import make_provider
from infra.aws.service import Cluster, Service, Settings
from infra.aws.watch import Watch, told_by_the_monitor
from infra.machine import machines
from infra.machine.alerts import secret_file
from infra.machine.model import Machine as MachineModel
from infra.machine.model import Role
from infra.machine.postgres import dynamic_configuration
from infra.paths import AGENT
from infra.spec import DATABASE, GIB, AwsPlace, ClusterSpec
from infra.trust import Keyring

MONITOR_PORTS = {"prometheus": 9090, "alertmanager": 9093}
STATISTICS_PORT = 8404


class AwsCluster(ComponentResource):
    """Network, keys, trust and machines of one stack; `outputs` is what people may know."""

    outputs: dict[str, Any]

    def __init__(
        self, name: str, spec: ClusterSpec, receiver_secrets: Output[dict[str, Any]]
    ) -> None:
        if not isinstance(spec.place, AwsPlace):
            raise TypeError(f"a spec for place {spec.place.kind} describes no cluster on AWS")
        provider = make_provider(spec.place, spec.stack)
        super().__init__(
            "guestcomms:aws:AwsCluster", name, None, ResourceOptions(providers=[provider])
        )
        self._place, self._child = spec.place, ResourceOptions(parent=self)
        # Whoever is told, the stack's own topics are: they reach people without the internet.
        owner = aws.get_caller_identity(opts=InvokeOptions(parent=self)).account_id
        self._spec = spec = told_by_the_monitor(spec, owner, spec.place.region)
        self._receivers = receiver_secrets.apply(partial(secret_file, spec))
        agent_sha256 = build_agent(AGENT)
        self._machines = machines(spec, agent_sha256)
        self._sites = {
            item.name: site(self._place, item.name, item.role) for item in self._machines
        }
        self._addresses = {name: stands.address for name, stands in self._sites.items()}
        self._image_id = self._find_image()
        self._make_ground(agent_sha256)
        self._place_machines()
        self._open_front_door()
        self.outputs = self._make_outputs()
        self.register_outputs({})

    def _find_image(self) -> str:
        lookup, sizes = InvokeOptions(parent=self), self._spec.machines
        processors = image.architecture(self._place, sizes, lookup)
        return image.find(self._place, sizes.image_edition, processors, lookup)

    def _make_ground(self, agent_sha256: str) -> None:
        """Everything that machines stand on."""
        place, stack = self._place, self._spec.stack
        self._keys = Keys(stack, protect=place.deletion_protection, opts=self._child)
        self._network = Network(place, stack, self._child)
        self._flows = Flows(
            self._network.vpc.id,
            self._network.endpoint_group.id,
            self._network.s3_prefix_list,
            place.clients,
            self._child,
        )
        self._keyring = Keyring(stack, DATABASE, self._child, self._receivers)
        self._store = BackupStore(self._spec, place, self._keys, self._child)
        self._delivery = Delivery(place, stack, self._keys, (AGENT, agent_sha256), self._child)
        self._watch = Watch(place, stack, self._keys, self._child)

    def _place_machines(self) -> None:
        """Machines, each behind the gate; database machines one after the other."""
        self.machines: dict[str, Machine] = {}
        services: list[Resource] = []
        previous: list[Resource] = []
        for item in self._machines:
            waits_for = previous if item.role is Role.DATABASE else []
            service = self._place_one(item, waits_for)
            services.append(service)
            if item.role is Role.DATABASE:
                previous = [service]
        common = {"region": self._place.region, "stack": self._spec.stack}
        cluster = Cluster(
            "cluster",
            **common,
            database_machines=self._database_addresses,
            opts=ResourceOptions(parent=self, depends_on=services),
        )
        Settings(
            "settings",
            **common,
            settings=dynamic_configuration(self._spec),
            database_machines=self._database_addresses,
            opts=ResourceOptions(parent=self, depends_on=[cluster]),
        )
        if self._store.copy_bucket is not None:
            self._watch.watch_copy(self._store.bucket, self._store.copy_bucket)

    def _place_one(self, item: MachineModel, waits_for: list[Resource]) -> Service:
        args = self._args(item)
        body = Body(item, args, self._child)
        box = self._deliver(item, body)
        statements = [*box.opening(), *self._statements(item)]
        identity = Identity(item.name, self._spec.stack, statements, self._child)
        machine = Machine(
            item,
            args,
            body,
            identity,
            self._child,
            boot_tags=box.tags,
            depends_on=[*box.contents, *self._network.endpoints, *waits_for],
        )
        self.machines[item.name] = machine
        self._watch.watch_instance(item.name, machine.instance_id)
        for path, volume in body.volumes.items():
            self._watch.watch_volume(body.names[path], volume.id)
        return Service(
            item.name,
            region=self._place.region,
            stack=self._spec.stack,
            instance_id=machine.instance_id,
            delivered=box.fingerprint,
            database_machines=self._database_addresses if item.role is Role.DATABASE else {},
            opts=ResourceOptions(parent=self, depends_on=[*machine.attachments]),
        )

    @property
    def _database_addresses(self) -> dict[str, str]:
        return {name: self._addresses[name] for name in self._spec.database_names}

    def _args(self, item: MachineModel) -> MachineArgs:
        stands, volumes = self._sites[item.name], self._place.volumes
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

    def _deliver(self, item: MachineModel, body: Body) -> Box:
        # TLS of clients ends at the database machines, whichever proxy and name led there.
        names = [item.name]
        if item.role is Role.DATABASE:
            names.append(front_door_name(self._place, self._spec.stack))
        certificate = self._keyring.certificate(item.name, names, [self._addresses[item.name]])
        secrets = self._keyring.files(item.secrets, certificate, {})
        return self._delivery.to(item.name, self._facts(item, body), secrets)

    def _facts(self, item: MachineModel, body: Body) -> dict[str, Any]:
        """place.json: addresses, the store, volumes, and what a new cluster's settings are."""
        facts = {
            "place": "aws",
            "stack": self._spec.stack,
            "machines": self._addresses,
            "repository": _repository(self._place.region, self._store.bucket),
            "settings": item.settings,
            "files": item.files,
            "volumes": {path: volume.id for path, volume in body.volumes.items()},
        }
        if item.role is Role.DRILL and self._place.copy_region and self._store.copy_bucket:
            facts["repository_copy"] = _repository(self._place.copy_region, self._store.copy_bucket)
        return facts

    def _statements(self, item: MachineModel) -> list[Statement]:
        """What a machine may do on AWS beyond fetching its own."""
        match item.role:
            case Role.DATABASE:
                return self._store.writing()
            case Role.DRILL:
                return self._store.reading()
            case Role.MONITOR:
                return self._watch.speaking()
            case _:
                return []

    def _open_front_door(self) -> None:
        self._front_door = FrontDoor(
            self._place,
            self._spec.stack,
            vpc_id=self._network.vpc.id,
            subnet_ids=[subnet.id for subnet in self._network.subnets.values()],
            group_id=self._flows.groups[FRONT_DOOR].id,
            proxies={name: self._target(name) for name in self._spec.proxy_names},
            opts=self._child,
        )
        self._watch.watch_balancer(self._front_door.balancer, self._front_door.groups)

    def _target(self, proxy: str) -> Target:
        body = self.machines[proxy].body
        return Target(body.address, body.interface)

    def _make_outputs(self) -> dict[str, Any]:
        region, stack = self._place.region, self._spec.stack
        door = front_door_name(self._place, stack)
        monitor = self._addresses["monitor-1"]
        endpoints = {key: {"host": door, "port": port} for key, port in FRONT_DOOR_PORTS.items()}
        endpoints |= {key: {"host": monitor, "port": port} for key, port in MONITOR_PORTS.items()}
        proxy = self._addresses[self._spec.proxy_names[0]]
        endpoints["statistics"] = {"host": proxy, "port": STATISTICS_PORT}
        return {
            "stack": stack,
            "place": "aws",
            "clone": "",  # the state is shared, whichever clone brings the stack up
            "database": DATABASE,
            "endpoints": endpoints,
            "ca_certificate": self._keyring.authority.bundle,
            "logins": {role: login.login for role, login in self._keyring.logins.items()},
            "machines": {
                item.name: {
                    "role": item.role.value,
                    "address": self._addresses[item.name],
                    "exec": _channel(region, self.machines[item.name].instance_id),
                    "terminal": _channel(
                        region, self.machines[item.name].instance_id, "--terminal"
                    ),
                }
                for item in self._machines
            },
            "spec": self._spec.model_dump(mode="json"),
        }


def _repository(region: str, bucket: Output[str]) -> dict[str, Any]:
    host = f"s3.{region}.amazonaws.com"
    return {
        "endpoint": host,
        "host": host,
        "port": HTTPS,
        "region": region,
        "bucket": bucket,
        "uri_style": "host",
        # pgBackRest shows the instance role's own credentials, and AWS's certificate is public.
        "keys": "instance",
    }


def _channel(region: str, instance_id: Output[str], *options: str) -> list[Output[str] | str]:
    return ["guestcomms-ssm", "--region", region, *options, instance_id]
