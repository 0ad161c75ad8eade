"""The base image `debian:trixie-slim`: there already, pulled, or made without any registry.

Made means: debootstrap, from the package mirror that this machine itself uses, imported into the
engine. Such an image also gets the suites for updates and security, which debootstrap leaves out.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tools import cache, debian
from tools.command import ToolError, answer, on_path, run

if TYPE_CHECKING:
    from tools.progress import Step

SUITE = "trixie"
IMAGE = f"debian:{SUITE}-slim"
PULL_SECONDS = 120  # 30 MB; whoever is slower than this makes the image sooner than it arrives
TARGETS = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"


class Mirrors(NamedTuple):
    """Where this machine's apt gets Debian from; either may be unknown."""

    main: str | None
    security: str | None


def ensure(step: Step) -> None:
    """Have the base image in the engine.

    Raises:
        ToolError: It is not there, cannot be pulled, and cannot be made on this machine.
    """
    step.result = f"{IMAGE} was there"
    if _present():
        return
    with cache.locked("base-image", step):
        if _present():  # made by another clone meanwhile
            return
        step.doing(f"pulling {IMAGE}")
        if _pull():
            step.result = f"{IMAGE} pulled"
        else:
            make(step, IMAGE)
            step.result = f"{IMAGE} made with debootstrap"


def make(step: Step, image: str) -> None:
    """Make the image with debootstrap and import it under the given name."""
    if not debian.can_install():
        raise ToolError(
            f"The image {IMAGE} cannot be pulled, and only root on Debian can make it: let the"
            " engine reach a registry, or load the image with `docker load`, then run make again."
        )
    if on_path("debootstrap") is None:
        debian.install(step, ["debootstrap"])
    folder = Path(tempfile.mkdtemp(prefix="guestcomms-base-", dir="/var/tmp"))
    try:
        _bootstrap(step, folder)
        step.doing("importing the image")
        _import(folder, image)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def mirrors(targets: str) -> Mirrors:
    """Read the lines `origin|label|address` of `apt-get indextargets`; others' archives are out."""
    rows = [line.split("|") for line in targets.splitlines()]
    ours = {row[1]: row[2].rstrip("/") for row in reversed(rows) if row[0] == "Debian"}
    return Mirrors(ours.get("Debian"), ours.get("Debian-Security"))


def sources(found: Mirrors) -> str:
    """Write the image's apt source lines; without a known mirror debootstrap's own line stays."""
    lines = []
    if found.main:
        lines += [f"deb {found.main} {suite} main" for suite in (SUITE, f"{SUITE}-updates")]
    if found.security:
        lines += [f"deb {found.security} {SUITE}-security main"]
    return "".join(f"{line}\n" for line in lines)


def resolve(address: str | None) -> str | None:
    """Replace apt's `mirror+file:/list` (as on cloud images) by the list's first address."""
    if address is None or not address.startswith("mirror+file:"):
        return address
    listing = Path("/" + address.removeprefix("mirror+file:").lstrip("/"))
    lines = listing.read_text("utf-8").split("\n") if listing.is_file() else []
    return next((line.split()[0].rstrip("/") for line in lines if line.strip()), None)


def _present() -> bool:
    return answer(["docker", "image", "inspect", "--format", "{{.Id}}", IMAGE]) is not None


def _pull() -> bool:
    pull = ["docker", "pull", "--quiet", IMAGE]
    return answer(pull, seconds=PULL_SECONDS) is not None and _present()


def _bootstrap(step: Step, folder: Path) -> None:
    found = _mirrors_here()
    if found.main is None:
        debian.update(step)
        found = _mirrors_here()
    step.doing("making the image with debootstrap, half a minute")
    options = ["--variant=minbase", "--include=ca-certificates"]
    address = [found.main] if found.main else []
    todo = "check that this machine reaches its Debian mirror, then run make again"
    run(["debootstrap", *options, SUITE, folder, *address], log="debootstrap", todo=todo)
    if found.main:
        (folder / "etc/apt/sources.list").write_text(sources(found), "utf-8")
    for leftover in [*folder.glob("var/cache/apt/archives/*.deb"), *folder.glob("var/log/*.log")]:
        leftover.unlink()


def _mirrors_here() -> Mirrors:
    listing = ["apt-get", "indextargets", "--format", TARGETS, "Created-By: Packages"]
    found = mirrors(answer(listing) or "")
    return Mirrors(resolve(found.main), resolve(found.security))


def _import(folder: Path, image: str) -> None:
    """Stream the tree into the engine, without a copy on disk."""
    tree = subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE)
    change = ["--change", 'CMD ["bash"]']
    done = subprocess.run(
        ["docker", "import", *change, "-", image],
        stdin=tree.stdout,
        capture_output=True,
        text=True,
        check=False,
    )
    if tree.wait() != 0 or done.returncode != 0:
        raise ToolError(f"docker import of {image} failed ({done.stderr.strip()}): run make again.")
