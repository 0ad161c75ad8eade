"""Go, to build the tools that exist as Go modules only: from PATH if new enough, else from PyPI."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools import cache, venv
from tools.command import ROOT, answer, on_path, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tools.progress import Step

MODULES = ROOT / "tools" / "go"
LOCK = MODULES / "go.lock"
# Without cgo the result does not depend on the machine's C compiler, and none is needed.
BUILD_ENV = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
BUILD_FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-modcacherw")


@dataclass(frozen=True)
class Go:
    """A Go toolchain and, if it is not the user's own, the folder of its caches."""

    program: Path
    caches: Path | None

    @property
    def env(self) -> Mapping[str, str]:
        """Variables to build with."""
        if self.caches is None:
            return BUILD_ENV
        folders = {"GOCACHE": "build", "GOMODCACHE": "modules", "GOPATH": "path"}
        return {**BUILD_ENV, **{key: str(self.caches / name) for key, name in folders.items()}}


def build(step: Step, module: str, package: str, target: Path, ldflags: str = "") -> None:
    """Build one program of one of our Go modules.

    Args:
        step: Where to show progress.
        module: Folder in tools/go.
        package: Import path of the program.
        target: File to write.
        ldflags: Flags for Go's linker.
    """
    go = find(step, module)
    step.doing(f"building {target.name}, minutes the first time")
    flags = [*BUILD_FLAGS, "-ldflags", f"-s -w {ldflags}", "-o", str(target)]
    _run(go, module, ["build", *flags, package], target.name)


def module_folder(step: Step, module: str, dependency: str) -> Path:
    """Return the folder in which the source of a module's dependency lies."""
    go = find(step, module)
    _run(go, module, ["mod", "download", dependency], f"{module}-download")
    listing = ["-C", str(MODULES / module), "list", "-m", "-f", "{{.Dir}}", dependency]
    return Path(answer([go.program, *listing], env=go.env) or "missing")


def find(step: Step, module: str) -> Go:
    """Return a Go that is new enough for the module, installing one if PATH has none."""
    found = on_path("go")
    have = answer([found, "env", "GOVERSION"], env=BUILD_ENV) if found else None
    if found and version(have or "") >= needed(module):
        return Go(found, caches=None)
    key = cache.digest([LOCK])
    entry = cache.build_once("go", key, step, lambda folder: _install(step, folder))
    return Go(entry / "go" / "bin" / "go", caches=_caches(module))


def forget_caches(module: str) -> None:
    """Remove what building with a Go of our own left behind: gigabytes that nobody asked for."""
    shutil.rmtree(_caches(module), ignore_errors=True)


def needed(module: str) -> tuple[int, ...]:
    """Return the oldest Go that a module's go.mod allows."""
    return version((MODULES / module / "go.mod").read_text("utf-8"))


def pinned(module: str, dependency: str) -> str:
    """Return the version of a dependency that a module's go.mod pins, such as `v1.8.1`."""
    text = (MODULES / module / "go.mod").read_text("utf-8")
    found = re.search(rf"^\s*(?:require )?{re.escape(dependency)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"tools/go/{module}/go.mod does not pin {dependency}")
    return found[1]


def version(text: str) -> tuple[int, ...]:
    """Read the first Go version in a text: `go1.26.8`, or the line `go 1.25.0` of a go.mod."""
    found = re.search(r"^go ?(\d+(?:\.\d+)+)", text, re.MULTILINE)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def _caches(module: str) -> Path:
    return cache.root() / f"go-work-{module}"


def _install(step: Step, folder: Path) -> None:
    step.doing("installing Go")
    options = ["--require-hashes", "--target", str(folder), "-r", str(LOCK)]
    run([*venv.uv_install(), *options], log="go", todo=venv.REACH)


def _run(go: Go, module: str, arguments: Sequence[str], log: str) -> None:
    todo = "check that this machine reaches its Go module proxy, then run make again"
    run([go.program, "-C", str(MODULES / module), *arguments], log=log, todo=todo, env=go.env)
