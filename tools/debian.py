"""What only works as root on Debian and its kin: installing packages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tools.command import ToolError, answer, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.progress import Step

NONINTERACTIVE = {"DEBIAN_FRONTEND": "noninteractive"}


def can_install() -> bool:
    """Tell whether packages can be installed: root, on a system with apt."""
    return os.geteuid() == 0 and Path("/usr/bin/apt-get").exists()


def known(package: str) -> bool:
    """Tell whether apt has a version of the package to install."""
    # About a package it has never heard of, apt-cache says nothing at all.
    said = answer(["apt-cache", "policy", package]) or ""
    return "Candidate:" in said and "Candidate: (none)" not in said


def install(step: Step, packages: Sequence[str]) -> None:
    """Install packages, fetching the package lists first if they are missing or outdated.

    Raises:
        ToolError: apt could not install them.
    """
    step.doing(f"installing {' '.join(packages)}")
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    todo = f"install {' '.join(packages)} by hand, then run make again"
    try:
        run(command, log="apt", todo=todo, env=NONINTERACTIVE)
    except ToolError:
        update(step)
        run(command, log="apt", todo=todo, env=NONINTERACTIVE)


def update(step: Step) -> None:
    """Fetch apt's package lists."""
    step.doing("fetching apt's package lists")
    todo = "check that the machine reaches its Debian mirror"
    run(["apt-get", "update"], log="apt-update", todo=todo, env=NONINTERACTIVE)
