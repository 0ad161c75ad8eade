"""What the place hands to a machine, packed in memory and unpacked inside the container.

Nothing of it touches another place of the host's disk, nothing shows in `docker inspect`.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.dynamic import PlaceError

SEED = "var/lib/cloud/seed/nocloud"
FOLDER = "etc/guestcomms"
SECRETS = "etc/guestcomms/secrets"
AGENT = "opt/guestcomms/agent.pyz"


@dataclass(frozen=True)
class File:
    """A file that belongs to root; without content it is a directory."""

    path: str
    mode: int
    content: bytes | None = None


def packed(files: Iterable[File]) -> bytes:
    """Return a tar archive to be unpacked at `/`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in files:
            entry = tarfile.TarInfo(file.path)
            entry.mode = file.mode
            if file.content is None:
                entry.type = tarfile.DIRTYPE
            else:
                entry.size = len(file.content)
            tar.addfile(entry, io.BytesIO(file.content or b""))
    return buffer.getvalue()


def seed(machine: str, container_id: str, user_data: str) -> bytes:
    """Return the cloud-init seed.

    The instance id is new for every container, so that cloud-init runs in full on each.
    """
    digest = hashlib.sha256(user_data.encode()).hexdigest()[:12]
    meta_data = f"instance-id: {machine}-{digest}-{container_id[:12]}\nlocal-hostname: {machine}\n"
    return packed(
        [
            File(f"{SEED}/user-data", 0o600, user_data.encode()),
            File(f"{SEED}/meta-data", 0o600, meta_data.encode()),
        ]
    )


def place_files(place: str, secrets: Mapping[str, str], agent: bytes) -> bytes:
    """Return the place file (readable by all), the secrets (by root alone) and the agent."""
    return packed(
        [
            File(FOLDER, 0o755),
            File(f"{FOLDER}/place.json", 0o644, place.encode()),
            File(SECRETS, 0o700),
            *(File(f"{SECRETS}/{name}", 0o600, text.encode()) for name, text in secrets.items()),
            File(str(Path(AGENT).parent), 0o755),
            File(AGENT, 0o755, agent),
        ]
    )


def read_agent(path: str, sha256: str) -> bytes:
    """Return the agent's zipapp.

    Raises:
        PlaceError: it is not there, or not the one that the machine's user-data pins.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise PlaceError(f"the agent {path} cannot be read ({error.strerror})") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise PlaceError(
            f"the agent {path} has sha256 {found}, but the machines pin {sha256}: run "
            "`.venv/bin/guestcomms up` again, which builds and pins it anew"
        )
    return content
