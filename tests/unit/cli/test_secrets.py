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
from guestcomms import engine, paths
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


LOST = "test-recovery"


@pytest.mark.usefixtures("clone_up")
def test_what_was_lost_with_its_state_comes_back_from_escrow(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Export, lose the state, import into a new stack, bring it up: the keys are the same."""
    kept, file = tmp_path / "escrow.json", paths.stack_file(LOST)
    assert main([*EXPORT, str(kept)]) == 0
    file.write_text("config:\n  guestcomms:bootstrap: restore\n")
    new = ["--stack", LOST, "secrets"]
    assert main([*new, "import", str(kept)]) == 0
    assert "guestcomms:bootstrap restore" in capfd.readouterr().out
    secrets = json.loads(kept.read_text())["secrets"]
    text = file.read_text()
    assert "secure:" in text
    assert not any(value in text for value in secrets.values())
    engine.pulumi(LOST, ["up", "--yes", "--skip-preview"])
    assert main([*new, "check", str(kept)]) == 0
    assert main([*new, "import", str(kept)]) == 0
    assert "holds these keys already" in capfd.readouterr().out
    other = {
        name: base64.urlsafe_b64encode(os.urandom(size)).decode() for name, size in NAMES.items()
    }
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"secrets": other}))
    assert main([*new, "check", str(wrong)]) == 6
    assert main([*new, "import", str(wrong)]) == 5
    said = capfd.readouterr().err
    assert "holds other keys than escrow" in said
    assert not any(value in said for value in (*other.values(), *secrets.values()))


@pytest.mark.usefixtures("clone_up")
@pytest.mark.parametrize(
    "text", ["", "{}", '{"secrets": {"repository-cipher": "x"}}', "-----BEGIN PGP"]
)
def test_what_is_no_escrow_is_refused(
    tmp_path: Path, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "escrow"
    file.write_text(text)
    assert main(["--stack", "test-cli", "secrets", "import", str(file)]) == 2
    assert "is not what `secrets export` writes" in capfd.readouterr().err
    assert main(["--stack", "test-cli", "secrets", "check", str(tmp_path / "none")]) == 2
