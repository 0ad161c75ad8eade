"""Every command: help, JSON, one-sentence errors, exit codes, a current reference."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from guestcomms import errors, paths
from guestcomms.cli import reference
from guestcomms.cli.__main__ import main
from guestcomms.cli.app import app
from guestcomms.cli.common import EXIT_CODES

BECOME_ANOTHER_PROGRAM = {"psql", "shell", "pulumi"}
"""Their output is that program's."""
COMMANDS = [
    (words[1:], command)
    for words, command in reference.commands(typer.main.get_command(app), ["guestcomms"])
    if len(words) > 1
]
LEAVES = [(words, command) for words, command in COMMANDS if not getattr(command, "commands", {})]


def subclasses(kind: type[errors.GuestcommsError]) -> list[type[errors.GuestcommsError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in subclasses(child))]


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[" ".join(w) for w, _ in COMMANDS])
def test_it_has_help(words: list[str], command: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert command.help
    assert all(parameter.help for parameter in command.params if parameter.name != "help")
    assert main([*words, "--help"]) == 0
    assert "Usage: guestcomms" in capfd.readouterr().out


@pytest.mark.parametrize(("words", "command"), LEAVES, ids=[" ".join(w) for w, _ in LEAVES])
def test_what_prints_prints_json_too(words: list[str], command: Any) -> None:
    options = {name for parameter in command.params for name in parameter.opts}
    assert ("--json" in options) != (words[-1] in BECOME_ANOTHER_PROGRAM)


def test_the_reference_is_current() -> None:
    assert reference.FILE.read_text() == reference.render(), (
        "run `.venv/bin/python -m guestcomms.cli.reference`"
    )


def test_every_exit_code_is_in_the_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert {kind.exit_code for kind in subclasses(errors.GuestcommsError)} <= set(EXIT_CODES)
    main(["--help"])
    shown = " ".join(capfd.readouterr().out.split())
    assert all(f"{code} {text}" in shown for code, text in EXIT_CODES.items())


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["status"], 3, "There is no stack 'local'"),
        (["readiness", "--json"], 3, "There is no stack 'local'"),
        (["health", "--json"], 3, "There is no stack 'local'"),
        (["integrity", "repair", "counters"], 3, "There is no stack 'local'"),
        (["--stack", "No Name", "status"], 2, "'No Name' cannot be a stack's name; it is made of"),
        (
            ["--stack", "nosuch", "up", "--yes"],
            5,
            "There is no stack file for 'nosuch', only for: test-cli",
        ),
    ],
)
@pytest.mark.usefixtures("clone")
def test_an_error_is_one_sentence_on_stderr(
    arguments: list[str],
    code: int,
    sentence: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(arguments) == code
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    last = printed.err.splitlines()[-1]
    assert last.startswith(f"error: {sentence}")
    assert last.endswith(".")


@pytest.mark.usefixtures("clone_up")
def test_debug_shows_the_rest(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--debug", "--stack", "other", "dsn"]) == 3
    said = capfd.readouterr().err
    assert "Traceback" in said
    assert "+ pulumi stack export" in said


def test_wrong_use_is_exit_code_2() -> None:
    assert main(["no-such-command"]) == 2
    assert main(["dsn", "--no-such-option"]) == 2


@pytest.mark.usefixtures("clone_up")
def test_dsn_as_text_and_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", "test-cli", "dsn", "--role", "ops"]) == 0
    url = capfd.readouterr().out.strip()
    assert main(["--stack", "test-cli", "dsn", "--role", "ops", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {
        "stack": "test-cli",
        "role": "ops",
        "login": "wedsync_ops",
        "dsn": url,
    }


@pytest.mark.usefixtures("clone")
def test_env_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["PULUMI_STACK"] == "local"


@pytest.mark.usefixtures("clone_up")
def test_pulumi_by_hand_exits_as_pulumi_does(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", "test-cli", "pulumi", "--", "stack", "--show-name"]) == 0
    assert capfd.readouterr().out.strip() == "test-cli"
    assert main(["--stack", "test-cli", "pulumi", "stack", "output", "nosuch"]) not in (0, 2)


def test_a_command_on_a_machine_goes_through_its_channel(clone_up: Path) -> None:
    run_in_subprocess = (
        "import sys; from guestcomms import paths; from pathlib import Path;"
        f"paths.ROOT = Path({str(clone_up)!r}); paths.STATE = paths.ROOT / '.state';"
        "from guestcomms.cli.__main__ import main;"
        "sys.exit(main(['--stack', 'test-cli', 'shell', 'pg-1', 'exit 3']))"
    )
    done = subprocess.run([sys.executable, "-c", run_in_subprocess], check=False)
    assert done.returncode == 3


def test_any_folder_below_the_clone_will_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "guestcomms.cli", "env", "--json"]
    for folder in (paths.ROOT, paths.ROOT / "docs" / "reference", tmp_path):
        done = subprocess.run(
            command,
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PULUMI_CONFIG_PASSPHRASE": "x"},
        )
        assert json.loads(done.stdout)["PULUMI_BACKEND_URL"] == f"file://{paths.STATE}/pulumi"
