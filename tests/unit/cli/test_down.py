"""Taking down: what stays, what goes, and what a person is told before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from guestcomms import engine, paths
from guestcomms.cli.__main__ import main
from guestcomms.cli.down import Plan
from guestcomms.stack import Resource, Stack, read_state

STACK = "test-cli"
DOWN = ["--stack", STACK, "down"]


def resource(name: str, kind: str, *, protected: bool = False, **outputs: str) -> Resource:
    return Resource(f"urn:pulumi:s::guestcomms::x:{kind}::{name}", f"x:{kind}", protected, outputs)


KEY = resource("repository-cipher", "Secret", protected=True)
DATA = resource("pg-1-data", "Volume", machine="pg-1", volume="v1")
BACKUPS = resource("store-1-data", "Volume", machine="store-1", volume="v2")
PROVIDER = Resource("urn:pulumi:s::g::pulumi:providers:x::d", "pulumi:providers:x", False, {})


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ((False, False), {KEY.name}),
        ((True, False), {KEY.name, BACKUPS.name}),
        ((False, True), set()),
    ],
)
def test_what_stays(options: tuple[bool, bool], kept: set[str]) -> None:
    keep_backups, everything = options
    plan = Plan.make(
        [KEY, DATA, BACKUPS, PROVIDER], keep_backups=keep_backups, everything=everything
    )
    assert {item.name for item in plan.kept} == kept
    assert {item.name for item in plan.lost} == {KEY.name, DATA.name, BACKUPS.name} - kept


@pytest.fixture
def up(clone: Path) -> Path:
    engine.prepare_backend()
    engine.create_stack(STACK)
    engine.pulumi(STACK, ["up", "--yes", "--skip-preview"])
    return clone


@pytest.mark.usefixtures("up")
def test_down_keeps_the_keys_and_says_what_goes(capfd: pytest.CaptureFixture[str]) -> None:
    before = paths.stack_file(STACK).read_text()
    assert main([*DOWN, "--yes", "--json"]) == 0
    printed = capfd.readouterr()
    result = json.loads(printed.out)
    kept = {urn.rpartition("::")[2] for urn in result["kept"]}
    assert kept == {"repository-cipher", "key-encryption-key"}
    assert "login-ops" in printed.err
    assert {r.name for r in read_state(STACK, show_secrets=False) if r.owned} == kept
    assert paths.stack_file(STACK).read_text() == before
    evidence = json.loads((paths.STATE / "evidence" / f"down-{STACK}.json").read_text())
    assert [stage["outcome"] for stage in evidence["stages"]] == ["done", "done"]


@pytest.mark.usefixtures("up")
def test_down_of_everything_leaves_no_state(capfd: pytest.CaptureFixture[str]) -> None:
    passwords = Stack.load(STACK).passwords
    assert paths.stack_directory(STACK).is_dir()
    assert main([*DOWN, "--everything", "--yes"]) == 0
    assert not paths.stack_directory(STACK).joinpath("ca.crt").exists()
    backend = paths.STATE / "pulumi"
    assert not [file for file in backend.rglob(f"{STACK}*") if file.is_file()]
    assert paths.stack_file(STACK).is_file()
    assert main([*DOWN, "--yes"]) == 0
    assert "was not up" in capfd.readouterr().out
    assert passwords


@pytest.mark.usefixtures("clone_up")
def test_nothing_goes_without_a_yes(capfd: pytest.CaptureFixture[str]) -> None:
    before = len(read_state(STACK, show_secrets=False))
    assert main(DOWN) == 5
    said = capfd.readouterr().err
    assert "will be destroyed" in said
    assert said.strip().endswith("give --yes to go ahead.")
    assert len(read_state(STACK, show_secrets=False)) == before


@pytest.mark.usefixtures("clone")
def test_contradicting_options(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*DOWN, "--keep-backups", "--everything", "--yes"]) == 2
    assert "give one of --keep-backups and --everything" in capfd.readouterr().err
