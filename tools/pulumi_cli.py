"""The Pulumi CLI with its Python language host, four programs that stand side by side."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from tools import cache, golang
from tools.command import ToolError, answer, link, on_path

if TYPE_CHECKING:
    from pathlib import Path

    from tools.progress import Step

SDK = "github.com/pulumi/pulumi/sdk/v3"
ENGINE = "github.com/pulumi/pulumi/pkg/v3"
MODULES = ("pulumi", "language-python")
PROGRAMS = (
    "pulumi",
    "pulumi-language-python",
    "pulumi-language-python-exec",
    "pulumi-resource-pulumi-python",
)
HELPERS = (
    "python/cmd/pulumi-language-python-exec",
    "python/dist/pulumi-resource-pulumi-python",
)


def ensure(step: Step) -> None:
    """Link a Pulumi CLI that fits, PATH's or our own, into `.state/tools/bin`."""
    wanted = golang.pinned("pulumi", ENGINE)
    folder = _folder_on_path(wanted) or _built(step, wanted)
    for name in PROGRAMS:
        link(name, folder / name)
    step.result = f"{cli_version(folder / 'pulumi')} in {folder}"


def cli_version(program: Path) -> str | None:
    """Ask a Pulumi CLI for its version, such as `v3.259.0`."""
    return answer([program, "version"], env={"PULUMI_SKIP_UPDATE_CHECK": "1"})


def fits(found: str | None, wanted: str) -> bool:
    """Tell whether a CLI works with the locked SDK: the same major version, and not older."""
    numbers = [re.findall(r"\d+", text)[:3] for text in (found or "", wanted)]
    have, want = ([int(number) for number in version] for version in numbers)
    return have[:1] == want[:1] and have >= want


def _folder_on_path(wanted: str) -> Path | None:
    found = on_path("pulumi")
    if found is None or not fits(cli_version(found), wanted):
        return None
    folder = found.resolve().parent
    return folder if all((folder / name).exists() for name in PROGRAMS) else None


def _built(step: Step, wanted: str) -> Path:
    folders = [golang.MODULES / module for module in MODULES]
    inputs = [folder / name for folder in folders for name in ("go.mod", "go.sum")]
    key = cache.digest(inputs, wanted, *golang.BUILD_FLAGS)
    folder = cache.build_once("pulumi", key, step, lambda scratch: _build(step, scratch, wanted))
    if cli_version(folder / "pulumi") != wanted:
        raise ToolError(f"{folder}/pulumi is not {wanted}: remove {folder} and run make again.")
    return folder


def _build(step: Step, folder: Path, wanted: str) -> None:
    # Without a version the Automation API refuses the CLI.
    stamp = f"-X {SDK}/go/common/version.Version={wanted}"
    golang.build(step, "pulumi", f"{ENGINE}/cmd/pulumi", folder / "pulumi", stamp)
    host = "pulumi-language-python"
    golang.build(step, "language-python", f"{SDK}/python/cmd/{host}", folder / host)
    source = golang.module_folder(step, "pulumi", SDK)
    for helper in HELPERS:
        shutil.copyfile(source / helper, folder / helper.rpartition("/")[2])
        (folder / helper.rpartition("/")[2]).chmod(0o755)
    for module in MODULES:
        golang.forget_caches(module)
