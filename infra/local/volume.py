"""Volumes: the data of a machine, outliving its container."""

from docker.errors import APIError, NotFound
from docker.models.volumes import Volume as DockerVolume
from pulumi import Output, ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource

from infra.dynamic import PlaceError, Props, Provider, replacement
from infra.local.engine import engine, explain, refuse_other_clone, remove_leftovers
from infra.local.names import MACHINE, Owner


class VolumeProvider(Provider):
    """Makes named volumes; deleting one deletes the data."""

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        refuse_other_clone(olds, news)
        return replacement(olds, news, ["stack", "machine", "label"])

    def create(self, props: Props) -> CreateResult:
        owner = Owner.of(props)
        name = owner.volume(props["machine"], props["label"])
        volume = _find(name)
        if volume is None:
            labels = {**owner.labels, MACHINE: props["machine"]}
            engine().volumes.create(name, labels=labels)
        elif not owner.owns(volume.attrs.get("Labels")):
            raise PlaceError(
                f"volume {name} exists and is not of this stack: look what it holds "
                f"(`docker volume inspect {name}`), then remove it (`docker volume rm {name}`)"
            )
        return CreateResult(name, {**props, "volume": name})

    def read(self, id_: str, props: Props) -> ReadResult:
        return ReadResult(id_, props) if _find(id_) else ReadResult("", {})

    def delete(self, id_: str, props: Props) -> None:
        volume = _find(id_)
        if volume is None:
            return
        remove_leftovers(Owner.of(props), {"volume": id_})
        try:
            volume.remove()
        except APIError as error:
            raise PlaceError(f"volume {id_} cannot be removed: {explain(error)}") from error


class Volume(Resource, module="local", name="Volume"):
    """A named volume of one machine.

    An interrupted run's volume is taken over with what it holds. Give
    `ResourceOptions(retain_on_delete=True)` where the data must survive `pulumi destroy`.
    """

    volume: Output[str]
    """Its name on the Docker engine."""

    def __init__(
        self, name: str, owner: Owner, machine: str, label: str, opts: ResourceOptions | None = None
    ) -> None:
        props = {**owner.props, "machine": machine, "label": label, "volume": None}
        super().__init__(VolumeProvider(), name, props, opts)


def _find(name: str) -> DockerVolume | None:
    try:
        return engine().volumes.get(name)
    except NotFound:
        return None
