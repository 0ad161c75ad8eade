from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tools.engine import SOCKET, Engine, context_host, look

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = 65534


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield path


def test_an_engine_that_listens_answers(listening: Path) -> None:
    assert look(listening) is Engine.ANSWERS


def test_no_socket_is_a_silent_engine(tmp_path: Path) -> None:
    assert look(tmp_path / "docker.sock") is Engine.SILENT


def test_a_socket_that_a_dead_engine_left_is_silent(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    assert look(path) is Engine.SILENT


def test_a_docker_context_names_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert context_host() is None
    for name, host, seen in (
        ("mine", "unix:///run/mine.sock", "unix:///run/mine.sock"),
        ("usual", f"unix://{SOCKET}", None),
    ):
        create = ["docker", "context", "create", name, "--docker", f"host={host}"]
        subprocess.run(create, check=True, capture_output=True)
        subprocess.run(["docker", "context", "use", name], check=True, capture_output=True)
        assert context_host() == seen


def test_a_socket_of_somebody_else_is_denied(listening: Path) -> None:
    listening.chmod(0o000)
    child = os.fork()  # root may use any socket: look as a user who may not
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        os._exit(0 if look(listening) is Engine.DENIED else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
