"""Escrow: the keys leave the state only where they are safe."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from guestcomms.cli.__main__ import main

EXPORT = ["--stack", "test-cli", "secrets", "export"]
NAMES = {"repository-cipher": 48, "key-encryption-key": 32}


def check(document: str) -> None:
    secrets = json.loads(document)["secrets"]
    sizes = {name: len(base64.urlsafe_b64decode(value)) for name, value in secrets.items()}
    assert sizes == NAMES


@pytest.mark.usefixtures("clone_up")
def test_to_a_new_file_for_its_owner_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "escrow.json"
    assert main([*EXPORT, str(file), "--json"]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    check(file.read_text())
    printed = capfd.readouterr().out
    assert json.loads(printed) == {"file": str(file), "secrets": sorted(NAMES)}
    assert main([*EXPORT, str(file)]) == 5
    assert "cannot be written (File exists); give a new file" in capfd.readouterr().err


@pytest.mark.usefixtures("clone_up")
def test_to_a_pipe(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*EXPORT, "-"]) == 0
    check(capfd.readouterr().out)


@pytest.mark.usefixtures("clone_up")
def test_not_to_a_screen() -> None:
    ours, screen = pty.openpty()
    command = [sys.executable, "-m", "guestcomms.cli", *EXPORT, "-"]
    done = subprocess.run(command, stdout=screen, stderr=subprocess.PIPE, text=True, check=False)
    os.close(screen)
    os.close(ours)
    assert done.returncode == 5
    assert "Secrets would go to the screen; pipe them" in done.stderr


@pytest.mark.usefixtures("clone")
def test_before_there_are_any(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*EXPORT, "-"]) == 3
    assert "There is no stack 'test-cli'" in capfd.readouterr().err
