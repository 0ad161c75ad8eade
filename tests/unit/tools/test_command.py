from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tools import command
from tools.progress import step

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "STATE", tmp_path)
    monkeypatch.setattr(command, "BIN", tmp_path / "tools" / "bin")
    return tmp_path


def test_a_failure_names_the_last_words_the_next_step_and_the_log(state: Path) -> None:
    failing = ["sh", "-c", "echo first; echo no space left >&2; exit 7"]
    with pytest.raises(command.ToolError) as caught:
        command.run(failing, log="tool", todo="make room")
    assert re.search(r"status 7 \(no space left\); make room\. .*tool\.log$", str(caught.value))
    assert (state / "logs" / "tool.log").read_text("utf-8") == "first\nno space left\n"


def test_a_missing_program_is_a_sentence() -> None:
    with pytest.raises(command.ToolError, match=r"no-such-program cannot be run .*: get it"):
        command.run(["no-such-program"], log="tool", todo="get it")


def test_answer_is_none_for_failure_absence_and_delay() -> None:
    assert command.answer(["echo", " words "]) == "words"
    assert command.answer(["false"]) is None
    assert command.answer(["no-such-program"]) is None
    assert command.answer(["sleep", "5"], seconds=0.1) is None


def test_a_link_is_replaced(state: Path) -> None:
    for version in ("one", "two"):
        (state / version).write_text(version, "ascii")
        command.link("tool", state / version)
    assert (command.BIN / "tool").read_text("ascii") == "two"
    assert [path.name for path in command.BIN.iterdir()] == ["tool"]


def test_what_the_project_itself_put_on_path_is_not_found(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = state / "program"
    program.write_text("#!/bin/sh\n", "ascii")
    program.chmod(0o755)
    command.link("program", program)
    monkeypatch.setenv("PATH", f"{command.BIN}:/usr/bin:/bin")
    assert command.on_path("program") is None
    monkeypatch.setenv("PATH", f"{command.BIN}:{state}")
    assert command.on_path("program") == program


def test_a_step_tells_how_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with step("k6") as current:
            current.doing("building")
            raise OSError("gone")

    with step("weed") as current:
        current.result = "weed 4.48"
    with pytest.raises(OSError, match="gone"):
        fail()
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"weed    weed 4\.48 \(\d+\.\d s\)", lines[0])
    assert lines[1].startswith("k6      building … ")
    assert re.fullmatch(r"k6      failed \(\d+\.\d s\)", lines[-1])
