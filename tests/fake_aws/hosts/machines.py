"""What the provider does when instances, attachments and objects come and go."""

from __future__ import annotations

import base64
import io
import ipaddress
import os
import tarfile
from pathlib import Path
from typing import Any, cast

import docker
from docker.errors import NotFound
from docker.models.containers import Container
from docker.types import EndpointConfig

from tests.fake_aws.kinds.names import BUCKET, INSTANCE, OBJECT, VOLUME, token
from tests.fake_aws.world import Item, World

SITE = "GUESTCOMMS_FAKE_AWS_SITE"
"""The environment variable with the name of the Docker network that instances boot in."""
ATTACHMENT = token("ec2", "VolumeAttachment")
LABEL = "guestcomms.fake-aws"
IMAGE_LABEL = "guestcomms.fake-aws.image"
STOP_SECONDS = 90
ATTEMPTS = 3
GIB = 1 << 30
LOOP_DEVICES = "b 7:* rwm"
CAPABILITIES = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"]
ASSET_PATH = "path"
SERVICES = ("secretsmanager", "sns", "monitoring")


class Hosts:
    """The instances of one world as containers; without a site nothing is done."""

    def __init__(self, folder: Path, site: str | None = None) -> None:
        self.folder, self.site = folder, site or os.environ.get(SITE, "")

    def made(self, item: Item) -> None:
        """After a thing was made or changed."""
        if not self.site:
            return
        if item.token == OBJECT:
            self._keep(item)
        elif item.token == INSTANCE and self.container(item.id) is None:
            self._boot(item)
        elif item.token == ATTACHMENT:
            self._attach(item)

    def ends(self, item: Item) -> None:
        """Before a thing is deleted."""
        if not self.site:
            return
        if item.token == ATTACHMENT:
            if container := self.container(str(item.get("instanceId"))):
                container.stop(timeout=STOP_SECONDS)
            self.detach(str(item.get("volumeId")))
        elif item.token == INSTANCE:
            if container := self.container(item.id):
                container.stop(timeout=STOP_SECONDS)
                container.remove(v=True, force=True)
        elif item.token == VOLUME:
            self._disk(item.id).unlink(missing_ok=True)

    def container(self, instance: str) -> Container | None:
        """The container of an instance; None where there is none."""
        try:
            return docker.from_env().containers.get(f"{self.site}-{instance}")
        except NotFound:
            return None

    def _keep(self, item: Item) -> None:
        source = item.get("source")
        text = item.get("content")
        data = text.encode() if isinstance(text, str) else Path(source[ASSET_PATH]).read_bytes()
        file = self.folder / "objects" / str(item.get("bucket")) / str(item.get("key"))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def _boot(self, item: Item) -> None:
        world, engine = World(self.folder), docker.from_env()
        network = engine.networks.get(self.site)
        gate = endpoints_address(network.attrs["IPAM"]["Config"][0]["Subnet"])
        user_data = self.folder / "user-data" / item.id
        user_data.parent.mkdir(exist_ok=True)
        user_data.write_bytes(base64.b64decode(str(item.get("userDataBase64"))))
        names = [f"{each}.{item.region}.amazonaws.com" for each in SERVICES]
        names += [f"{each.id}.s3.{each.region}.amazonaws.com" for each in world.of(BUCKET)]
        container = engine.containers.create(
            network.attrs["Labels"][IMAGE_LABEL],
            name=f"{self.site}-{item.id}",
            hostname=str(item.get("privateDns")).partition(".")[0],
            labels={LABEL: self.site},
            environment={"container": "docker"},
            cap_add=CAPABILITIES,
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            cgroupns="private",
            tmpfs=dict.fromkeys(("/run", "/run/lock", "/tmp"), ""),
            shm_size="512m",
            device_cgroup_rules=[LOOP_DEVICES],
            extra_hosts=dict.fromkeys(names, gate),
            network=self.site,
            networking_config={
                self.site: EndpointConfig(
                    engine.api.api_version, ipv4_address=str(item.get("privateIp"))
                )
            },
        )
        authority = (self.folder / "authority.crt").read_bytes()
        container.put_archive(
            "/",
            packed(
                {
                    "etc/simulated-aws": f"{gate}\n".encode(),
                    "usr/local/share/ca-certificates/simulated-aws.crt": authority,
                }
            ),
        )
        container.start()

    def _attach(self, item: Item) -> None:
        """Give a volume to an instance, under the name that Nitro gives to it."""
        volume = str(item.get("volumeId"))
        container = self.container(str(item.get("instanceId")))
        if container is None:
            raise RuntimeError(f"{item.get('instanceId')} does not run")
        disk = self._disk(volume)
        if not disk.exists():
            disk.parent.mkdir(exist_ok=True)
            size = World(self.folder).find((VOLUME,), "id", volume)
            with disk.open("wb") as file:
                file.truncate(int(size.get("size") if size else 1) * GIB)
        loop = self._loop_of(volume)
        number = loop.removeprefix("/dev/loop")
        link = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume.replace('-', '')}"
        execute(
            container,
            f"mkdir -p /dev/disk/by-id; mknod {loop} b 7 {number}; ln -sfn {loop} {link}",
        )

    def _loop_of(self, volume: str) -> str:
        """The loop device of a volume: the one that it has, or a free one.

        One at a time, and asked again: what a command printed was once lost under load, and a
        disk on two devices would be torn.
        """
        disk = f"/world/volumes/{volume}"
        command = (
            f"flock /losetup.lock sh -ec 'losetup --noheadings --output NAME --associated {disk}"
            f" | grep . || losetup --find --show {disk}'"
        )
        for _ in range(ATTEMPTS):
            if (loop := self._on_services(command)).startswith("/dev/loop"):
                return loop
        raise RuntimeError(f"{volume} has no loop device")

    def detach(self, volume: str) -> None:
        """Take a volume's device away."""
        self._on_services(
            f"losetup --noheadings --output NAME --associated /world/volumes/{volume}"
            " | xargs -r losetup --detach"
        )

    def _disk(self, volume: str) -> Path:
        return self.folder / "volumes" / volume

    def _on_services(self, command: str) -> str:
        return execute(docker.from_env().containers.get(f"{self.site}-services"), command)


def endpoints_address(network: str) -> str:
    """Where AWS's services are in a site's network."""
    return str(ipaddress.ip_network(network)[-6])


def execute(container: Container, command: str) -> str:
    """Run a shell command in a container; raises `RuntimeError` when it fails."""
    code, output = cast("Any", container.exec_run(["sh", "-ec", command]))
    text = str(output, errors="replace").strip()
    if code != 0:
        raise RuntimeError(f"{container.name}: {command}: {text}")
    return text


def packed(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    """A tar archive of files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
