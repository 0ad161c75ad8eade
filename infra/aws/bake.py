"""What a machine image is baked from: the packages of every place, and what only EC2 needs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from infra.machine import image

HERE = Path(__file__).parent
PACKAGES = ("e2fsprogs", "netcat-openbsd", "python3-botocore")
"""Debian packages beyond every machine's: file systems of volumes, cloud-init's own signals, and
AWS's API for `guestcomms-fetch`."""


@dataclass(frozen=True)
class BootFile:
    """A file of the image that only EC2 needs, kept beside this module."""

    source: str
    path: str
    mode: str

    @property
    def content(self) -> str:
        """What is in it."""
        return (HERE / self.source).read_text(encoding="utf-8")


BOOT_FILES = (
    BootFile("boot.py", "/usr/local/sbin/guestcomms-fetch", "0755"),
    BootFile("guestcomms-fetch.service", "/etc/systemd/system/guestcomms-fetch.service", "0644"),
)

EC2_SETUP = """\
# What setup.sh turns off for containers and a virtual machine needs.
systemctl unmask systemd-networkd-wait-online.service systemd-pstore.service
systemctl enable guestcomms-fetch.service fstrim.timer
# People come through Session Manager.
systemctl disable ssh.service ssh.socket
systemctl mask ssh.service ssh.socket
"""


def packages() -> tuple[str, ...]:
    """Debian packages of the image."""
    return (*image.packages(), *PACKAGES)


def content_hash(edition: str) -> str:
    """Twelve hexadecimal digits of the sha256 of everything that an image is baked from.

    Parameters: `edition`, the spec's: a new one is a new image, with Debian's packages of the day.
    """
    parts = [
        edition,
        *packages(),
        image.setup_script().read_text(encoding="utf-8"),
        EC2_SETUP,
        *(f"{file.path} {file.mode}\n{file.content}" for file in BOOT_FILES),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
