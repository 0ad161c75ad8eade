"""The network of a stack: a /24 of its own on the Docker engine."""

import ipaddress
import zlib
from collections.abc import Iterator

from docker.errors import APIError, NotFound
from docker.models.networks import Network as DockerNetwork
from docker.types import IPAMConfig, IPAMPool
from pulumi import Output, ResourceOptions
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
)

from infra.dynamic import PlaceError, Props, Provider, replacement
from infra.local.engine import engine, explain, refuse_other_clone, remove_leftovers
from infra.local.names import Owner

RANGE = ipaddress.ip_network("10.213.0.0/16")
"""Where stacks take their /24 from; few private networks use it."""


class NetworkProvider(Provider):
    """Makes bridge networks, each on the first free /24 of RANGE."""

    def check(self, _olds: Props, news: Props) -> CheckResult:
        """Find out already in the preview that there is no Docker engine."""
        try:
            engine()
        except PlaceError as error:
            return CheckResult(news, [CheckFailure("stack", str(error))])
        return CheckResult(news, [])

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        refuse_other_clone(olds, news)
        result = replacement(olds, news, ["stack"])
        result.delete_before_replace = True
        return result

    def create(self, props: Props) -> CreateResult:
        owner = Owner.of(props)
        network = _own_network(owner) or _create(owner)
        return CreateResult(str(network.id), _outputs(owner, network))

    def read(self, id_: str, props: Props) -> ReadResult:
        try:
            network = engine().networks.get(id_)
        except NotFound:
            return ReadResult("", {})
        return ReadResult(id_, _outputs(Owner.of(props), network))

    def delete(self, id_: str, props: Props) -> None:
        try:
            network = engine().networks.get(id_)
        except NotFound:
            return
        remove_leftovers(Owner.of(props), {"network": id_})
        try:
            network.remove()
        except APIError as error:
            raise PlaceError(
                f"network {network.name} cannot be removed: {explain(error)}. Disconnect what "
                f"is not of this stack (`docker network inspect {network.name}`), then again"
            ) from error


class Network(Resource, module="local", name="Network"):
    """The network that a stack's machines share."""

    network: Output[str]
    """Its name."""
    subnet: Output[str]
    """Its addresses, such as 10.213.7.0/24; Docker itself takes the first one."""

    def __init__(self, name: str, owner: Owner, opts: ResourceOptions | None = None) -> None:
        props = {**owner.props, "network": None, "subnet": None}
        super().__init__(NetworkProvider(), name, props, opts)


def subnets(name: str) -> Iterator[str]:
    """Yield every /24 of RANGE, from one that depends on `name`: clones rarely meet."""
    candidates = [str(subnet) for subnet in RANGE.subnets(new_prefix=24)]
    start = zlib.crc32(name.encode()) % len(candidates)
    yield from candidates[start:] + candidates[:start]


def _own_network(owner: Owner) -> DockerNetwork | None:
    """Return the network that an interrupted run has made already."""
    for network in engine().networks.list(filters=owner.filters):
        if network.name == owner.network:
            return network
    return None


def _create(owner: Owner) -> DockerNetwork:
    for subnet in subnets(owner.network):
        pool = IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)])
        try:
            return engine().networks.create(
                owner.network, driver="bridge", ipam=pool, labels=owner.labels
            )
        except APIError as error:
            if "overlap" not in explain(error):
                raise PlaceError(f"network {owner.network}: {explain(error)}") from error
    raise PlaceError(
        f"no free /24 is left in {RANGE}: remove networks nobody uses (`docker network prune`)"
    )


def _outputs(owner: Owner, network: DockerNetwork) -> Props:
    network.reload()
    subnet = network.attrs["IPAM"]["Config"][0]["Subnet"]
    return {**owner.props, "network": network.name, "subnet": subnet}
