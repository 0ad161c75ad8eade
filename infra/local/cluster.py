"""A whole cluster on this machine's Docker engine: spec in, machines and their outputs out."""

from __future__ import annotations

import ipaddress
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from pulumi import ComponentResource, Output, ResourceOptions

from infra.agent.build import build as build_agent
from infra.local.clone import clone_id
from infra.local.gate import Cluster
from infra.local.image import Image, image_tag
from infra.local.machine import Machine, MachineArgs
from infra.local.names import Owner
from infra.local.network import Network
from infra.local.ports import Port
from infra.local.settings import Settings
from infra.local.volume import Volume
from infra.machine import components, image, machines
from infra.machine.alerts import secret_file
from infra.machine.model import Machine as MachineModel
from infra.machine.model import Role
from infra.machine.postgres import dynamic_configuration
from infra.paths import AGENT
from infra.spec import DATABASE, ClusterSpec, LocalPlace
from infra.trust import Certificate, Keyring, Secret

HOSTS = {"store-1": 5, "proxy-1": 6, "monitor-1": 7, "drill-1": 8}
FIRST_DATABASE_HOST = 11
"""Host numbers in the network, fixed for every machine: adding one moves no other."""

MACHINE_IMAGE = "guestcomms-machine"


class LocalCluster(ComponentResource):
    """Network, images, trust and machines of one stack; `outputs` is what people may know."""

    outputs: dict[str, Any]

    def __init__(
        self,
        name: str,
        spec: ClusterSpec,
        receiver_secrets: Output[dict[str, Any]],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("guestcomms:local:LocalCluster", name, None, opts)
        if not isinstance(spec.place, LocalPlace):
            raise TypeError(f"a spec for place {spec.place.kind} describes no local cluster")
        self._spec = spec
        self._ports = spec.place.ports.model_dump()
        self._receiver_secrets = receiver_secrets
        self._child = ResourceOptions(parent=self)
        self._owner = Owner(spec.stack, clone_id())
        self._agent_sha256 = build_agent(AGENT)
        self._machines = machines(spec, self._agent_sha256)
        self._network = Network("network", self._owner, self._child)
        self._images = self._make_images()
        self._trust()
        self._place_machines()
        self.outputs = self._make_outputs()
        self.register_outputs({})

    def _make_images(self) -> dict[str, Output[str]]:
        wanted = self._spec.machines
        dockerfile = image.dockerfile(wanted.image_edition, wanted.postgresql_version)
        setup = {"setup.sh": image.setup_script()}
        base = Image("machine", MACHINE_IMAGE, dockerfile, setup, self._child)
        # The tag is a hash of the content, so it is known before anything is built.
        on_base = image.store_dockerfile(image_tag(MACHINE_IMAGE, dockerfile, setup))
        opts = ResourceOptions(parent=self, depends_on=[base])
        store = Image("store", "guestcomms-store", on_base, {"weed": _weed()}, opts)
        return {"machine": base.tag, "store": store.tag}

    def _trust(self) -> None:
        self._keyring = Keyring(
            self._spec.stack,
            DATABASE,
            self._child,
            receivers=self._receiver_secrets.apply(partial(secret_file, self._spec)),
        )
        self._s3 = {
            identity: {
                "access_key": Secret(f"s3-{identity}-access-key", 15, self._child).value,
                "secret_key": Secret(f"s3-{identity}-secret-key", 30, self._child).value,
            }
            for identity in ("admin", "backup", "drill")
        }

    def _place_machines(self) -> None:
        self._addresses = {
            item.name: self._network.subnet.apply(partial(_address, item.name))
            for item in self._machines
        }
        placed: dict[str, Machine] = {}
        previous: Machine | None = None
        for item in self._machines:
            waits_for = [placed["store-1"]] if item.role is Role.DATABASE else []
            if item.role is Role.DATABASE and previous is not None:
                waits_for.append(previous)
            placed[item.name] = self._place(item, waits_for)
            if item.role is Role.DATABASE:
                previous = placed[item.name]
        self.machines = placed
        self.cluster = Cluster(
            "cluster",
            self._owner,
            list(self._spec.database_names),
            ResourceOptions(parent=self, depends_on=list(placed.values())),
        )
        Settings(
            "settings",
            self._owner,
            dynamic_configuration(self._spec),
            self._spec.database_names,
            ResourceOptions(parent=self, depends_on=[self.cluster]),
        )

    def _place(self, item: MachineModel, waits_for: list[Machine]) -> Machine:
        published = self._is_published(item)
        certificate = self._keyring.certificate(
            item.name,
            # Only who is reached through a published port may answer there.
            [item.name, *(["localhost"] if published else [])],
            [self._addresses[item.name], *(["127.0.0.1"] if published else [])],
        )
        volumes = {
            volume.path: Volume(
                f"{item.name}-{volume.name}", self._owner, item.name, volume.name, self._child
            ).volume
            for volume in item.volumes
        }
        args = MachineArgs(
            image=self._images[item.image],
            network=self._network.network,
            address=self._addresses[item.name],
            user_data=item.user_data,
            agent=AGENT,
            agent_sha256=self._agent_sha256,
            volumes=volumes,
            ports=[Port(port.key, self._ports[port.key], port.port) for port in item.ports],
            memory_mib=item.memory_mib,
            cores=item.cores,
            place=self._facts(item),
            secrets=self._secrets(item, certificate),
            peers=self._peers(item),
        )
        return Machine(
            item.name,
            self._owner,
            args,
            ResourceOptions(parent=self, depends_on=list(waits_for)),
        )

    def _is_published(self, item: MachineModel) -> bool:
        """Whether people reach the machine at 127.0.0.1, itself or through the proxy."""
        return bool(item.ports) or item.role is Role.DATABASE

    def _peers(self, item: MachineModel) -> list[str]:
        if item.role is not Role.DATABASE:
            return []
        return [name for name in self._spec.database_names if name != item.name]

    def _facts(self, item: MachineModel) -> dict[str, Any]:
        """place.json: addresses, the store, and what a new cluster's settings are."""
        return {
            "place": "local",
            "stack": self._spec.stack,
            "machines": self._addresses,
            "repository": {
                "endpoint": "store-1",
                "host": "store-1",
                "port": 8333,
                "region": "us-east-1",
                "bucket": components.BUCKET,
                "uri_style": "path",
            },
            "settings": item.settings,
            "files": item.files,
        }

    def _secrets(self, item: MachineModel, certificate: Certificate) -> dict[str, Output[str]]:
        identity = "drill" if item.role is Role.DRILL else "backup"
        files = self._keyring.files(item.secrets, certificate, self._s3[identity])
        if "s3.json" in item.secrets:
            files["s3.json"] = Output.secret(Output.json_dumps(self._s3))
        return files

    def _make_outputs(self) -> dict[str, Any]:
        return {
            "stack": self._spec.stack,
            "place": "local",
            "clone": self._owner.clone,
            "database": DATABASE,
            "endpoints": {
                key: {"host": "127.0.0.1", "port": port} for key, port in self._ports.items()
            },
            "ca_certificate": self._keyring.authority.bundle,
            "logins": {role: login.login for role, login in self._keyring.logins.items()},
            "machines": {
                item.name: {
                    "role": item.role.value,
                    "address": self._addresses[item.name],
                    "exec": ["docker", "exec", "-i", self._owner.container(item.name)],
                }
                for item in self._machines
            },
            "spec": self._spec.model_dump(mode="json"),
        }


def _address(machine: str, subnet: str) -> str:
    number = int(machine.rpartition("-")[2])
    host = HOSTS.get(machine) or FIRST_DATABASE_HOST + number - 1
    return str(ipaddress.ip_network(subnet)[host])


def _weed() -> Path:
    """The S3 server's program, found on PATH: `make tools` puts it there."""
    found = shutil.which("weed")
    if found is None:
        raise FileNotFoundError("the S3 server `weed` is not on PATH; run `make tools`")
    return Path(found).resolve()
