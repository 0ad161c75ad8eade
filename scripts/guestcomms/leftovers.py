"""What of a stack is on the Docker engine, found by label: the proof that `down` left nothing."""

from __future__ import annotations

from guestcomms import run

KINDS = {
    "container": ["docker", "ps", "--all", "--format", "{{.Names}}"],
    "volume": ["docker", "volume", "ls", "--format", "{{.Name}}"],
    "network": ["docker", "network", "ls", "--format", "{{.Name}}"],
}


def find(stack: str, clone: str) -> list[str]:
    """Containers, volumes and networks of one stack of one clone, as `volume NAME`.

    Raises `CommandError` when the Docker engine does not answer, `RefusedError` without docker.
    """
    labels = (f"guestcomms.stack={stack}", f"guestcomms.clone={clone}")
    filters = [f"--filter=label={label}" for label in labels]
    found = []
    for kind, command in KINDS.items():
        listed = run.capture(
            [*command, *filters],
            todo="start the Docker engine, or become root or a member of group docker",
            install="install it (on Debian: apt-get install docker.io)",
        )
        found += [f"{kind} {name}" for name in listed.stdout.split()]
    return found
