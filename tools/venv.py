"""The virtual environment `.venv`: the locked packages, and the project itself, editable."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

from tools import cache, debian
from tools.command import ROOT, VENV, ToolError, answer, run

if TYPE_CHECKING:
    from tools.progress import Step

PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
LOCK = ROOT / "requirements.lock"
INSTALLER_LOCK = ROOT / "tools" / "installer.lock"
PROJECT = ROOT / "pyproject.toml"
REACH = "check that this machine reaches its Python package index, then run make again"


def ensure(step: Step) -> None:
    """Make `.venv` hold what requirements.lock says, hashes verified.

    Raises:
        ToolError: Python cannot make virtual environments here, or a package cannot be installed.
    """
    if answer([PYTHON, "-c", "pass"]) is None:  # missing, or its Python was upgraded away
        _create(step)
    if not (answer([UV, "--version"]) or "").startswith(f"{_pinned_uv()} "):
        step.doing("installing the installer")
        options = ["--quiet", "--require-hashes", "-r", str(INSTALLER_LOCK)]
        run([PYTHON, "-m", "pip", "install", *options], log="venv-uv", todo=REACH)
    step.doing("installing the locked packages")
    run([*uv_install(), "--require-hashes", "-r", LOCK], log="venv", todo=REACH)
    _install_project()
    step.result = f"Python {'.'.join(map(str, sys.version_info[:3]))}, packages as locked"


def _create(step: Step) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        _install_ensurepip(step)
    step.doing("making .venv")
    todo = "remove .venv and run make again"
    run([sys.executable, "-m", "venv", "--clear", VENV], log="venv", todo=todo)


def _install_ensurepip(step: Step) -> None:
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if not debian.can_install():
        raise ToolError(
            f"{sys.executable} cannot make virtual environments, its module ensurepip is missing:"
            f" install it (Debian: apt-get install {package}), then run make again."
        )
    debian.install(step, [package])


def _install_project() -> None:
    stamp = VENV / "project"
    key = cache.digest([PROJECT], str(ROOT))
    if stamp.is_file() and stamp.read_text("ascii") == key:
        return
    options = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    run([*uv_install(), *options], log="venv-project", todo="mend pyproject.toml")
    stamp.write_text(key, "ascii")


def uv_install() -> list[str]:
    """Return the start of a command that installs into `.venv`."""
    return [str(UV), "pip", "install", "--python", str(PYTHON)]


def _pinned_uv() -> str:
    line = next(line for line in INSTALLER_LOCK.read_text("utf-8").splitlines() if "==" in line)
    return line.split()[0].replace("==", " ")
