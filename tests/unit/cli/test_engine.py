"""Pulumi's environment, passphrase and stack files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from guestcomms import engine, paths, run
from guestcomms.errors import BusyError, RefusedError

from tests.waiting import wait_until

STACK = "test-cli"
SALT = "encryptionsalt: v1:SGe8pUaVSTc=:v1:m1U52+MzSYE7dS+P:0bhU8A==\n"


def test_the_state_lies_in_the_clone_and_the_passphrase_outside_of_it(clone: Path) -> None:
    environment = engine.pulumi_environment(STACK)
    assert environment["PULUMI_BACKEND_URL"] == f"file://{clone}/.state/pulumi"
    assert environment["PULUMI_CONFIG_PASSPHRASE_FILE"] == f"{clone}/config/guestcomms/passphrase"
    assert environment["PATH"].split(":")[:2] == [str(paths.VENV), str(paths.TOOLS)]


@pytest.mark.parametrize("name", ["PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"])
def test_a_persons_own_choices_stay(
    clone: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "/mine")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://states")
    environment = engine.pulumi_environment(STACK)
    assert "PULUMI_BACKEND_URL" not in environment
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in environment
    engine.prepare_backend()
    assert not (clone / ".state").exists()
    assert not (clone / "config").exists()
    assert name in engine.passphrase_source()


@pytest.mark.usefixtures("clone")
def test_pulumi_speaks_to_the_engine_of_the_docker_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    create = ["docker", "context", "create", "mine", "--docker", "host=unix:///run/mine.sock"]
    subprocess.run(create, check=True, capture_output=True)
    subprocess.run(["docker", "context", "use", "mine"], check=True, capture_output=True)
    assert engine.pulumi_environment(STACK)["DOCKER_HOST"] == "unix:///run/mine.sock"
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/yours.sock")
    assert "DOCKER_HOST" not in engine.pulumi_environment(STACK)
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "DOCKER_HOST" not in engine.pulumi_environment(STACK)


@pytest.mark.usefixtures("clone")
def test_the_exports_are_what_a_shell_takes() -> None:
    script = engine.exports(STACK) + "\nenv -0"
    printed = subprocess.run(
        ["bash", "-c", script], check=True, capture_output=True, text=True
    ).stdout
    seen = dict(line.split("=", 1) for line in printed.split("\0") if line)
    wanted = engine.pulumi_environment(STACK)
    assert {name: seen[name] for name in wanted} == wanted


@pytest.mark.usefixtures("clone")
def test_a_passphrase_is_made_once_and_for_its_owner_only() -> None:
    engine.prepare_backend()
    file = engine.passphrase_file()
    first = file.read_text()
    assert len(first.strip()) >= 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == ["passphrase"]
    engine.prepare_backend()
    assert file.read_text() == first


@pytest.mark.usefixtures("clone")
def test_no_new_passphrase_where_state_has_an_old_one() -> None:
    engine.prepare_backend()
    engine.create_stack(STACK)
    engine.passphrase_file().unlink()
    with pytest.raises(RefusedError, match=r"passphrase .*/passphrase is gone; put the file back"):
        engine.prepare_backend()
    assert not engine.passphrase_file().exists()


@pytest.mark.usefixtures("clone")
def test_a_stack_without_a_file_is_refused() -> None:
    with pytest.raises(RefusedError, match="no stack file for 'nosuch', only for: test-cli;"):
        engine.create_stack("nosuch")


@pytest.mark.usefixtures("clone")
def test_making_a_stack_twice_is_making_it_once() -> None:
    engine.prepare_backend()
    engine.create_stack(STACK)
    engine.create_stack(STACK)
    assert [entry["name"] for entry in json.loads(engine.pulumi(STACK, ["stack", "ls", "--json"]))]


@pytest.mark.parametrize(
    ("salted", "plain"),
    [
        (SALT, ""),
        (SALT + "config:\n  a:b: c\n", "config:\n  a:b: c\n"),
        ("# mine\nconfig:\n  a:b: c # why\n" + SALT, "# mine\nconfig:\n  a:b: c # why\n"),
        ("config:\n  a:b: c\n" + SALT.rstrip(), "config:\n  a:b: c\n"),
        ("config:\n  a:b: encryptionsalt\n", "config:\n  a:b: encryptionsalt\n"),
    ],
)
def test_only_the_salt_line_goes(salted: str, plain: str) -> None:
    assert engine.without_salt(salted) == plain


def test_the_salt_stays_beside_values_encrypted_with_it() -> None:
    text = SALT + "config:\n  a:b:\n    secure: v1:abc:def\n"
    assert engine.without_salt(text) == text


@pytest.mark.usefixtures("clone_up")
def test_the_stack_file_stays_as_committed() -> None:
    file = paths.stack_file(STACK)
    before = file.read_text()
    engine.pulumi(STACK, ["preview"])
    assert file.read_text() == before


def test_the_stack_file_stays_as_committed_when_pulumi_fails(clone: Path) -> None:
    engine.prepare_backend()
    engine.create_stack(STACK)
    (clone / "infra" / "__main__.py").write_text("raise SystemExit(3)\n")
    before = paths.stack_file(STACK).read_text()
    with pytest.raises(run.CommandError):
        engine.pulumi(STACK, ["up", "--yes", "--skip-preview"])
    assert paths.stack_file(STACK).read_text() == before


@pytest.mark.usefixtures("clone")
def test_every_committed_stack_file_is_as_pulumi_would_write_it(repository: Path) -> None:
    """Pulumi rewrites the whole file with its salt; ours must come out of that unchanged."""
    engine.prepare_backend()
    for committed in sorted((repository / "infra" / "stacks").glob("Pulumi.*.yaml")):
        stack = committed.name.split(".")[1]
        if stack.startswith("test-"):
            continue
        paths.stack_file(stack).write_text(committed.read_text())
        engine.create_stack(stack)
        assert paths.stack_file(stack).read_text() == committed.read_text(), committed


def test_a_lock_of_another_update_names_who_holds_it(clone: Path) -> None:
    engine.prepare_backend()
    engine.create_stack(STACK)
    # A program that waits holds the lock of a real update.
    (clone / "infra" / "__main__.py").write_text("import time; time.sleep(60)\n")
    command = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"]
    environment = {**os.environ, **engine.pulumi_environment(STACK)}
    update = subprocess.Popen(command, cwd=clone, env=environment, stdout=subprocess.DEVNULL)
    locks = clone / ".state" / "pulumi" / ".pulumi" / "locks"
    try:
        wait_until(lambda: any(locks.rglob("*.json")), 30)
        with pytest.raises(BusyError, match=rf"holds its lock \(.* \(pid {update.pid}\)\); wait"):
            engine.create_stack(STACK)
    finally:
        update.send_signal(signal.SIGINT)
        update.wait(timeout=30)
