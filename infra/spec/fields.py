"""What values of the spec may be: sizes, networks, schedules; names that never change."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field

CONFIG_NAMESPACE = "guestcomms"
DATABASE = "wedsync"
STANZA = "wedsync"
SCOPE = "wedsync"
PATRONI_NAMESPACE = "/guestcomms/"

MOST_DATABASE_NODES = 7
MIB = 1024**2
GIB = 1024**3


def _at_least_256_mib(value: ByteSize) -> ByteSize:
    if value < 256 * MIB:
        raise ValueError("at least 256MiB, written like 512MiB or 2GiB")
    return value


def _cron(value: str) -> str:
    if len(value.split()) != 5 or not set(value) <= set("0123456789*/,- "):
        raise ValueError("a five-field cron expression in UTC, such as 0 1 * * *")
    return value


def _size_text(value: object) -> object:
    if not isinstance(value, (str, ByteSize)):
        raise ValueError("a size with its unit, such as 512MiB or 2GiB")
    return value


def _whole_gib(value: ByteSize) -> ByteSize:
    if value % GIB or not GIB <= value <= 16384 * GIB:
        raise ValueError("whole GiB from 1GiB to 16384GiB, written like 100GiB")
    return value


def _network(value: str) -> str:
    try:
        return str(ipaddress.IPv4Network(value))
    except ValueError:
        raise ValueError("an IPv4 network without host bits, such as 10.60.0.0/16") from None


Size = Annotated[ByteSize, BeforeValidator(_size_text), AfterValidator(_at_least_256_mib)]
VolumeSize = Annotated[ByteSize, BeforeValidator(_size_text), AfterValidator(_whole_gib)]
Network = Annotated[str, AfterValidator(_network)]
Cron = Annotated[str, AfterValidator(_cron)]
Port = Annotated[int, Field(ge=1024, le=65535)]
Cores = Annotated[float, Field(ge=0.1, le=192)]
Above0 = Annotated[float, Field(gt=0)]
Percent = Annotated[float, Field(gt=0, le=100)]
Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
InstanceType = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$")]


class Section(BaseModel):
    """A part of the spec: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
