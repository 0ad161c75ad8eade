"""Images: built once for their content, shared by all clones on the engine."""

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from docker.errors import APIError, ImageNotFound
from pulumi import Output, ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from infra.dynamic import PlaceError, Props, Provider, changed, progress
from infra.local.engine import engine, explain

LABEL = "guestcomms.image"
LINES_KEPT = 15


def image_tag(repository: str, dockerfile: str, files: Mapping[str, Path] | None = None) -> str:
    """Return `repository:HASH`, where the hash covers the Dockerfile and all files.

    `files` maps names in the build context to files here.
    """
    digest = hashlib.sha256(dockerfile.encode())
    for name, path in sorted((files or {}).items()):
        with path.open("rb") as file:
            digest.update(f"\0{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return f"{repository}:{digest.hexdigest()[:12]}"


class ImageProvider(Provider):
    """Builds images with the engine's own builder; an image that exists is used at once."""

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return DiffResult(changes=bool(changed(olds, news, ["tag"])))

    def create(self, props: Props) -> CreateResult:
        if not _exists(props["tag"]):
            _build(props)
        return CreateResult(props["tag"], props)

    def read(self, id_: str, props: Props) -> ReadResult:
        return ReadResult(id_, props) if _exists(props["tag"]) else ReadResult("", {})

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        return UpdateResult(self.create(news).outs)


class Image(Resource, module="local", name="Image"):
    """An image that exists on the engine under a tag made of its content.

    Deleting the resource keeps the image: it is a cache that other clones share. To free the
    space: `docker image prune --all --filter label=guestcomms.image`.
    """

    tag: Output[str]

    def __init__(
        self,
        name: str,
        repository: str,
        dockerfile: str,
        files: Mapping[str, Path] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        props = {
            "tag": image_tag(repository, dockerfile, files),
            "dockerfile": dockerfile,
            "files": {key: str(path) for key, path in (files or {}).items()},
        }
        super().__init__(ImageProvider(), name, props, opts)


def _exists(tag: str) -> bool:
    try:
        engine().images.get(tag)
    except ImageNotFound:
        return False
    return True


def _build(props: Props) -> None:
    tag = props["tag"]
    progress(f"building image {tag}")
    with tempfile.TemporaryFile() as context:
        _write_context(context, props["dockerfile"], props["files"])
        context.seek(0)
        try:
            events = engine().api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                labels={LABEL: tag},
                rm=True,
                forcerm=True,
                decode=True,
                timeout=None,
            )
            _follow(tag, events)
        except APIError as error:
            raise PlaceError(f"image {tag} cannot be built: {explain(error)}") from error


def _write_context(target: IO[bytes], dockerfile: str, files: Mapping[str, str]) -> None:
    with tarfile.open(fileobj=target, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile.encode())
        tar.addfile(entry, io.BytesIO(dockerfile.encode()))
        for name, path in sorted(files.items()):
            tar.add(Path(path).resolve(), arcname=name)


def _follow(tag: str, events: Iterable[dict[str, Any]]) -> None:
    """Show the steps of a build as they come.

    Raises:
        PlaceError: the build failed; the message ends with the last lines of its output.
    """
    lines: list[str] = []
    for event in events:
        lines += [line for line in event.get("stream", "").splitlines() if line.strip()]
        lines = lines[-LINES_KEPT:]
        if lines and event.get("stream", "").startswith("Step "):
            progress(f"{tag}: {lines[-1][:150]}")
        if "error" in event:
            raise PlaceError(
                f"image {tag} cannot be built: {event['error']}. The base image is made by "
                "`make tools`; the last lines were:\n" + "\n".join(lines)
            )
