"""Where instances boot: a network without a way out, AWS's services in it, the image."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.types import EndpointConfig, IPAMConfig, IPAMPool

from infra.aws import bake
from infra.local.image import ImageProvider, image_tag
from infra.trust.certificates import make_authority, make_certificate
from tests.fake_aws.hosts.machines import (
    IMAGE_LABEL,
    LABEL,
    LOOP_DEVICES,
    SERVICES,
    Hosts,
    endpoints_address,
    execute,
    packed,
)

HERE = Path(__file__).parent
DOCKERFILE = """\
FROM {base}
RUN apt-get update -qq \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {packages} \\
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
{copies}
COPY ec2-setup.sh /tmp/ec2-setup.sh
RUN sh -eu /tmp/ec2-setup.sh && rm /tmp/ec2-setup.sh
# A container has its network from Docker, and is no machine of AWS by its firmware.
COPY simulated-aws.service /etc/systemd/system/simulated-aws.service
COPY simulated-aws.cfg /etc/cloud/cloud.cfg.d/95-simulated-aws.cfg
RUN systemctl mask systemd-networkd-wait-online.service systemd-pstore.service \\
 && systemctl enable simulated-aws.service
"""
BASE_OF_DEBIAN = ("openssh-server",)
"""What Debian's AMI has and its container image has not."""


def build_image(base: str, folder: Path) -> str:
    """The image of instances: the machine image `base`, and what the AMI is baked with."""
    files = {Path(each.source).name: bake.HERE / each.source for each in bake.BOOT_FILES}
    files |= {name: HERE / name for name in ("simulated-aws.service", "simulated-aws.cfg")}
    files["ec2-setup.sh"] = folder / "ec2-setup.sh"
    files["ec2-setup.sh"].write_text(bake.EC2_SETUP)
    copies = "\n".join(
        f"COPY {Path(each.source).name} {each.path}\nRUN chmod {each.mode} {each.path}"
        for each in bake.BOOT_FILES
    )
    packages = " ".join((*bake.PACKAGES, *BASE_OF_DEBIAN))
    dockerfile = DOCKERFILE.format(base=base, packages=packages, copies=copies)
    tag = image_tag("guestcomms-fake-aws", dockerfile, files)
    paths = {name: str(path) for name, path in files.items()}
    ImageProvider().create({"tag": tag, "dockerfile": dockerfile, "files": paths})
    return tag


@contextmanager
def opened(folder: Path, base: str, network: str, regions: tuple[str, ...]) -> Iterator[str]:
    """A site whose instances boot; gives its name. Everything of it is removed at the end.

    Parameters: `folder` of the world; `base`, the machine image; `network`, that of the VPC;
    `regions` that services answer for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    engine, name = docker.from_env(timeout=150), f"fake-aws-{secrets.token_hex(3)}"
    image = build_image(base, folder)
    pool = IPAMConfig(pool_configs=[IPAMPool(subnet=network)])
    made = engine.networks.create(
        name, driver="bridge", ipam=pool, labels={LABEL: name, IMAGE_LABEL: image}
    )
    try:
        _start_services(folder, name, image, network, regions)
        yield name
    finally:
        hosts = Hosts(folder, name)
        for container in engine.containers.list(all=True, filters={"label": f"{LABEL}={name}"}):
            if container.name != f"{name}-services":
                container.remove(v=True, force=True)
        for disk in (folder / "volumes").glob("*"):
            hosts.detach(disk.name)
        services = engine.containers.get(f"{name}-services")
        services.remove(v=True, force=True)
        made.remove()
        engine.close()


def _start_services(
    folder: Path, name: str, image: str, network: str, regions: tuple[str, ...]
) -> None:
    engine, address = docker.from_env(), endpoints_address(network)
    authority = make_authority("simulated AWS", 30)
    (folder / "authority.crt").write_text(authority.certificate)
    names = [f"{each}.{region}.amazonaws.com" for region in regions for each in SERVICES]
    names += [f"*.s3.{region}.amazonaws.com" for region in regions]
    pair = make_certificate(authority, "services", names, [address], 30)
    weed = shutil.which("weed")
    if weed is None:
        raise FileNotFoundError("the S3 server `weed` is not on PATH; run `make tools`")
    container = engine.containers.create(
        image,
        ["python3", "/endpoints.py"],
        name=f"{name}-services",
        labels={LABEL: name},
        cap_add=["SYS_ADMIN", "NET_ADMIN"],
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        device_cgroup_rules=[LOOP_DEVICES, "c 10:237 rwm"],
        volumes={
            str(folder): {"bind": "/world", "mode": "rw"},
            str(Path(weed).resolve()): {"bind": "/usr/local/bin/weed", "mode": "ro"},
        },
        network=name,
        networking_config={name: EndpointConfig(engine.api.api_version, ipv4_address=address)},
    )
    container.put_archive(
        "/",
        packed(
            {
                "endpoints.py": (HERE / "endpoints.py").read_bytes(),
                "endpoints.pem": f"{pair.certificate}{pair.private_key}".encode(),
            }
        ),
    )
    container.start()
    execute(
        container,
        "mknod /dev/loop-control c 10 237;"
        " for n in $(seq 0 255); do mknod /dev/loop$n b 7 $n; done",
    )
