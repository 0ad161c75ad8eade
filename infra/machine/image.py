"""The machine image: its package list is data that every place's image build shares."""

from __future__ import annotations

from pathlib import Path

from infra.machine.render import FILES, render

SERVER_PACKAGES = ("postgresql-17", "postgresql-plpython3-17")
"""Those that are one version: they are built from one source."""
BASE_IMAGE = "debian:trixie-slim"


def packages() -> tuple[str, ...]:
    """Debian packages of the image, from files/image/packages.txt."""
    lines = (FILES / "image" / "packages.txt").read_text(encoding="utf-8").splitlines()
    stripped = (line.partition("#")[0].strip() for line in lines)
    return tuple(line for line in stripped if line)


def setup_script() -> Path:
    """What is done to Debian once the packages are in: the same for Docker image and AMI."""
    return FILES / "image" / "setup.sh"


def dockerfile(edition: str = "", postgresql_version: str = "") -> str:
    """Dockerfile of the local machine image; its context holds `setup.sh`.

    Another `edition` makes another image, whose packages are installed anew; `postgresql_version`
    is Debian's version of PostgreSQL, the newest unless it is given.
    """
    pinned = f"={postgresql_version}" if postgresql_version else ""
    names = [f"{name}{pinned if name in SERVER_PACKAGES else ''}" for name in packages()]
    values = {"base": BASE_IMAGE, "packages": names, "edition": edition}
    return render("image/Dockerfile", values)


def store_dockerfile(machine_image: str) -> str:
    """Dockerfile of the store's image: a machine plus the S3 server `weed` of its context."""
    return render("image/Dockerfile.store", {"machine_image": machine_image})
