"""Bringing up: asked for, refreshed, in the clone that the state belongs to."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from guestcomms import paths
from guestcomms.cli import up
from guestcomms.cli.__main__ import main

STACK = "test-cli"
UP = ["--stack", STACK, "up"]
A_MACHINE = """
from pathlib import Path

from pulumi.dynamic import CreateResult, ReadResult, Resource, ResourceProvider


class FileProvider(ResourceProvider):
    def create(self, props):
        Path(props["path"]).write_text("it runs")
        return CreateResult(props["path"], props)

    def read(self, id_, props):
        return ReadResult(id_, props) if Path(id_).exists() else ReadResult("", {})


class Machine(Resource, module="test", name="Machine"):
    pass


Machine(FileProvider(), "machine", {"path": "MACHINE"})
"""


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is ours and where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.fixture
def machine(clone: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that stands for a machine: the program of the clone makes it."""
    file = clone / "machine"
    program = clone / "infra" / "__main__.py"
    text = program.read_text().replace("5434", str(closed_port))
    program.write_text(text + A_MACHINE.replace("MACHINE", str(file)))
    paths.STATE.mkdir()
    (paths.STATE / "clone").write_text("3fa9c1\n")
    monkeypatch.setattr(up, "ANSWER_SECONDS", 0.1)
    return file


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.usefixtures("clone")
def test_nothing_is_made_unasked(options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*UP, *options]) == 5
    printed = capfd.readouterr()
    assert printed.err.strip().endswith("give --yes to go ahead.")
    assert printed.out == ""
    assert not paths.STATE.exists()


def test_what_was_deleted_by_hand_comes_back(
    machine: Path, closed_port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*UP, "--yes"]) == 3
    said = " ".join(capfd.readouterr().err.split())
    assert f"on 127.0.0.1:{closed_port} as wedsync_migrator lets nobody in after 0.1 s" in said
    assert f"then run `.venv/bin/guestcomms --stack {STACK} up` again." in said
    assert machine.read_text() == "it runs"
    evidence = json.loads((paths.STATE / "evidence" / f"up-{STACK}.json").read_text())
    assert [stage["outcome"] for stage in evidence["stages"]] == ["done", "done", "failed"]

    machine.unlink()
    assert main([*UP, "--yes"]) == 3
    assert machine.read_text() == "it runs"


def test_machines_of_another_clone_are_left_alone(
    machine: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    main([*UP, "--yes"])
    state = paths.STATE / "pulumi" / ".pulumi" / "stacks" / "guestcomms" / f"{STACK}.json"
    before = state.read_bytes()
    mine = paths.STATE / "clone"
    for other, name in (("abcdef\n", "abcdef"), (None, "a new one")):
        mine.write_text(other) if other else mine.unlink()
        for command in (UP, ["--stack", STACK, "down"]):
            capfd.readouterr()
            assert main([*command, "--yes"]) == 5
            said = " ".join(capfd.readouterr().err.split())
            assert f"was made by clone 3fa9c1, this clone is {name}: machines," in said
            assert "`echo 3fa9c1 > .state/clone`" in said
    assert state.read_bytes() == before
    assert machine.exists()
    mine.write_text("3fa9c1\n")
    assert main(["--stack", STACK, "down", "--yes"]) == 0
