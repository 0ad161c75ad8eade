"""Pins that stand in two places must agree, and a found tool must fit them."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from tools import golang, pulumi_cli
from tools.command import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LOCK = (ROOT / "requirements.lock").read_text("utf-8")
LOCKS = [ROOT / "requirements.lock", ROOT / "tools/installer.lock", ROOT / "tools/go/go.lock"]


def test_the_pulumi_cli_is_built_at_the_version_of_the_locked_sdk() -> None:
    assert f"pulumi=={golang.pinned('pulumi', pulumi_cli.ENGINE)[1:]} \\\n" in LOCK
    assert golang.pinned("pulumi", pulumi_cli.SDK) == golang.pinned("pulumi", pulumi_cli.ENGINE)


def test_the_lock_holds_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for requirement in wanted:
        name = re.split(r"[^a-z0-9-]", requirement)[0]
        assert re.search(rf"^{name}(\[\w+\])?==", LOCK, re.MULTILINE), name


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text("utf-8")
    packages = re.findall(r"^[a-z][^\n]*\n( +--hash=sha256:[0-9a-f]{64})?", text, re.MULTILINE)
    assert packages
    assert all(packages)
    assert "://" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("go1.26.8", (1, 26, 8)),
        ("module x\n\ngo 1.25.11\n", (1, 25, 11)),
        ("devel +abc", ()),
    ],
)
def test_go_versions_are_read(text: str, expected: tuple[int, ...]) -> None:
    assert golang.version(text) == expected


@pytest.mark.parametrize("module", ["pulumi", "language-python", "k6"])
def test_every_module_says_which_go_it_needs(module: str) -> None:
    assert golang.needed(module) >= (1, 25)


@pytest.mark.parametrize(
    ("found", "fits"),
    [
        ("v3.259.0", True),
        ("v3.259.1", True),
        ("v3.272.0", True),
        ("v3.99.0", False),
        ("v4.0.0", False),
        ("3.300.0-dev", True),
        (None, False),
        ("", False),
    ],
)
def test_a_pulumi_cli_fits_if_it_is_not_older(found: str | None, fits: bool) -> None:
    assert pulumi_cli.fits(found, "v3.259.0") is fits
