"""What a machine is: plain values, made by pure functions, understood by every place."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from enum import StrEnum

USER_DATA_LIMIT = 16 * 1024
"""Bytes of user-data that EC2 accepts; cloud-init unpacks gzip by itself.
Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html"""


class Role(StrEnum):
    """What a machine does."""

    DATABASE = "database"
    PROXY = "proxy"
    STORE = "store"
    MONITOR = "monitor"
    DRILL = "drill"


@dataclass(frozen=True)
class File:
    """A file that user-data writes: never a secret."""

    path: str
    content: str
    mode: str = "0644"
    owner: str = "root:root"


@dataclass(frozen=True)
class Directory:
    """A directory that `agent prepare` makes at every boot, on a volume or not."""

    path: str
    owner: str
    group: str
    mode: str = "0755"


@dataclass(frozen=True)
class Volume:
    """Storage that outlives the machine, mounted at `path`."""

    name: str
    path: str


@dataclass(frozen=True)
class PublishedPort:
    """A port of the machine that the place offers to people, under a key of `place.ports`."""

    key: str
    port: int


@dataclass(frozen=True)
class Component:
    """One program on a machine: its files, the units to enable, what it needs to exist."""

    files: tuple[File, ...] = ()
    delivered: tuple[File, ...] = ()
    """Files, readable by all, that the place delivers instead of user-data."""
    units: tuple[str, ...] = ()
    directories: tuple[Directory, ...] = ()
    volumes: tuple[Volume, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    secrets: tuple[str, ...] = ()
    listens: tuple[int, ...] = ()
    """TCP ports that answer when it works: what health means where there is no database."""


@dataclass(frozen=True)
class Machine:
    """One machine, complete but for what its place adds: address, store, secrets."""

    name: str
    role: Role
    user_data: str
    volumes: tuple[Volume, ...]
    ports: tuple[PublishedPort, ...]
    secrets: tuple[str, ...]
    """File names under /etc/guestcomms/secrets that the place has to deliver."""
    memory_mib: int
    cores: float
    image: str
    """`machine`, or `store` for the one that also holds the S3 server."""
    settings: dict[str, object] = field(default_factory=dict)
    """Patroni's dynamic configuration for a new cluster: delivered by the place, so that
    changing a setting does not replace the machine."""
    files: dict[str, str] = field(default_factory=dict)
    """Path → content of what is delivered by the place too: too much for user-data, and no reason
    to replace the machine."""

    @property
    def user_data_size(self) -> int:
        """Bytes of user-data as a place hands it over, gzipped."""
        return len(gzip.compress(self.user_data.encode(), mtime=0))
