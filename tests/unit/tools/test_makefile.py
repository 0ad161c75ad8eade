from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from tools import bootstrap
from tools.command import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def down(folder: Path) -> subprocess.CompletedProcess[str]:
    """`make down` where every Python fails: whatever is installed would show."""
    shutil.copy(ROOT / "Makefile", folder)
    environment = {n: v for n, v in os.environ.items() if n != "PULUMI_BACKEND_URL"}
    command = ["make", "--no-print-directory", "PYTHON=false", "down"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_down_without_a_state_says_so_and_installs_nothing(tmp_path: Path) -> None:
    done = down(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Nothing is up: this clone has no state.\n"


def test_down_with_a_state_takes_down(tmp_path: Path) -> None:
    (tmp_path / ".state" / "pulumi").mkdir(parents=True)
    assert down(tmp_path).returncode != 0


def test_make_lists_its_targets() -> None:
    listed = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True)
    assert (
        "make down        Remove the cluster `local`, its data and its backups (" in listed.stdout
    )


def test_a_cluster_needs_linux(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert bootstrap.main(["pulumi", "weed"]) == 1
    said = capfd.readouterr().err
    assert said.startswith("This is darwin, and a cluster needs Linux: the S3 server program")
    assert said.count("\n") == 1
