"""Where every machine stands: zone, subnet and address, fixed before anything is made.

Nothing here depends on what AWS answers, so certificates, hosts files and rules are known in the
preview, and one machine's replacement never makes another one's inputs unknown.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from infra.machine.model import Role
from infra.spec import AwsPlace

SUBNET_BITS = 4
"""A sixteenth of the network for each zone: the rest is free for what comes later."""

FIRST_HOST = {Role.DATABASE: 11, Role.PROXY: 21, Role.MONITOR: 31, Role.DRILL: 41}
"""Host number of each kind's first machine. AWS keeps the first four and the last of a subnet.
Source: https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html"""

FIRST_ZONE = {Role.DATABASE: 0, Role.PROXY: 0, Role.MONITOR: 2, Role.DRILL: 1}
"""Zone of each kind's first machine: the monitor stands apart from the first leader and proxy."""


@dataclass(frozen=True)
class Site:
    """Where one machine stands."""

    zone: str
    address: str


def subnets(place: AwsPlace) -> dict[str, str]:
    """Zone → its subnet, as CIDR."""
    network = ipaddress.ip_network(place.network)
    parts: Iterator[object] = iter(network.subnets(prefixlen_diff=SUBNET_BITS))
    return {zone: str(part) for zone, part in zip(place.zones, parts, strict=False)}


def site(place: AwsPlace, name: str, role: Role) -> Site:
    """Where the machine `name` stands; machines of a kind take turns through the zones."""
    number = int(name.rpartition("-")[2]) - 1
    zone = place.zones[(FIRST_ZONE[role] + number) % len(place.zones)]
    address = ipaddress.ip_network(subnets(place)[zone])[FIRST_HOST[role] + number]
    return Site(zone, str(address))
