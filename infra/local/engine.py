"""The Docker engine: the one connection to it, and its errors in words a user can act on."""

import functools
import threading
from collections.abc import Mapping
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException
from docker.models.containers import Container

from infra.dynamic import PlaceError, progress
from infra.local.names import Owner

TIMEOUT = 150
"""Seconds for one call; stopping a machine may take STOP_SECONDS of them."""

STOP_SECONDS = 90
"""Time a machine gets to shut its services down in order before it is killed."""


@functools.cache
def engine() -> docker.DockerClient:
    """Return the connection to the Docker engine (that of DOCKER_HOST where it is set).

    Raises:
        PlaceError: nothing answers, or this user may not use it.
    """
    try:
        client = docker.from_env(timeout=TIMEOUT)
        client.ping()
    except (DockerException, requests.RequestException) as error:
        raise PlaceError(_unreachable(str(error))) from error
    return client


def _unreachable(reason: str) -> str:
    if "Permission denied" in reason or "PermissionError" in reason:
        return (
            "Docker refuses this user: run as root, or join the docker group "
            "(`sudo usermod -aG docker $USER`, then log in again)"
        )
    return (
        "no Docker engine answers: start it (`sudo systemctl start docker`), run `make tools` to "
        f"install it on Debian, or set DOCKER_HOST to one that runs ({reason})"
    )


def explain(error: APIError) -> str:
    """Return what Docker said, without the address of its socket."""
    return str(error.explanation or error)


def refuse_other_clone(olds: Mapping[str, Any], news: Mapping[str, Any]) -> None:
    """Stop before what another clone made is replaced by this one's, its backups included.

    Raises:
        PlaceError: the state was made by another clone.
    """
    theirs, ours = olds["clone"], news["clone"]
    if theirs != ours:
        raise PlaceError(
            f"this state was made by clone {theirs}, this is clone {ours}: going on would replace "
            f"its machines and volumes. To take them over, write {theirs} into .state/clone"
        )


def remove_container(container: Container) -> None:
    """Shut a machine down in order and remove its container; its named volumes stay."""
    try:
        if container.status == "paused":
            container.unpause()
        container.stop(timeout=STOP_SECONDS)
        container.remove(v=True, force=True)
    except docker.errors.NotFound:
        return


_LEFTOVERS = threading.Lock()  # network and volumes of a stack are deleted at the same time


def remove_leftovers(owner: Owner, attached_to: dict[str, str | list[str] | bool]) -> None:
    """Remove the owner's containers that still use an object about to be deleted.

    Pulumi deletes a machine before what it uses; a container that is still attached was made
    by an interrupted run that never reached the state. `attached_to` is a Docker list filter
    such as {"network": NAME}.
    """
    filters = owner.filters | attached_to
    with _LEFTOVERS:
        for container in engine().containers.list(all=True, filters=filters):
            progress(f"removing {container.name}, left over from an interrupted run")
            remove_container(container)
