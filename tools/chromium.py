"""Chromium and its driver, Debian's packages: what looks at the console pages."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tools import debian
from tools.command import ToolError

if TYPE_CHECKING:
    from tools.progress import Step

PROGRAMS = {"chromium": "chromium", "chromedriver": "chromium-driver"}
"""Program → the package that has it."""


def ensure(step: Step) -> None:
    """Install them, unless they are on PATH.

    Raises:
        ToolError: they are not, and nothing can be installed here.
    """
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if missing and not debian.can_install():
        raise ToolError(f"{' and '.join(missing)} must be on PATH: install them, run make again.")
    if missing:
        debian.install(step, missing)
    step.result = f"{shutil.which('chromium')}, {shutil.which('chromedriver')}"
