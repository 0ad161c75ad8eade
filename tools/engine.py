"""The Docker engine: used where one answers; on Debian as root installed and started."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from tools import debian
from tools.command import ToolError, answer, last_line, on_path, run

if TYPE_CHECKING:
    from tools.progress import Step

SOCKET = Path("/var/run/docker.sock")
LOG = Path("/var/log/dockerd.log")
START_SECONDS = 90


class Engine(Enum):
    """What is behind the engine's socket."""

    ANSWERS = "answers"
    DENIED = "denied"
    SILENT = "silent"


def ensure(step: Step) -> None:
    """Have an engine that answers and the `docker` client, or say what the user can do.

    Raises:
        ToolError: Neither is there, and nothing this program may do brings it.
    """
    host = os.environ.get("DOCKER_HOST") or context_host()
    if host is None:
        _ensure_local(step)
    _ensure_client(step)
    step.result = f"engine {_version(host or str(SOCKET))}"


def context_host() -> str | None:
    """Name the engine that the user's `docker context` means; None for this machine's own."""
    host = answer(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
    return None if host in (None, "", f"unix://{SOCKET}") else host


def look(path: Path) -> Engine:
    """Try the engine's socket, without a client."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        try:
            connection.connect(str(path))
        except PermissionError:
            return Engine.DENIED
        except OSError:
            return Engine.SILENT
    return Engine.ANSWERS


def _ensure_local(step: Step) -> None:
    found = look(SOCKET)
    if found is Engine.DENIED:
        raise ToolError(
            f"The Docker engine runs, but this user may not use {SOCKET}: run"
            " `sudo usermod -aG docker $USER`, log in again, then run make again."
        )
    if found is Engine.SILENT:
        _bring_up(step)


def _bring_up(step: Step) -> None:
    if os.geteuid() != 0 or not (on_path("dockerd") or debian.can_install()):
        raise ToolError(
            f"No Docker engine answers at {SOCKET}: install and start one (Debian: `sudo apt-get"
            " install docker.io`), or name another one in DOCKER_HOST or with `docker context use`,"
            " or run make as root on Debian, which does it for you."
        )
    if on_path("dockerd") is None:
        debian.install(step, ["docker.io", "iptables", *_client_package()])
    if look(SOCKET) is not Engine.ANSWERS:  # installing it may have started it
        _ensure_client(step)  # it tells when the engine is ready
        step.doing("starting the Docker engine")
        _wait(_start())


def _start() -> subprocess.Popen[bytes] | None:
    """Start the engine; return its process, unless systemd looks after it."""
    if Path("/run/systemd/system").is_dir():
        todo = "see `journalctl -u docker`"
        run(["systemctl", "enable", "--now", "docker"], log="docker", todo=todo)
        return None
    with LOG.open("ab") as log:
        return subprocess.Popen(
            ["dockerd"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,  # it serves the machine from now on and outlives this program
        )


def _wait(engine: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while _ask() is None:
        if engine is not None and engine.poll() is not None:
            raise ToolError(
                f"dockerd ended with status {engine.returncode} and the words `{last_line(LOG)}`:"
                f" mend what {LOG} names, or set DOCKER_HOST to an engine elsewhere."
            )
        if time.monotonic() > deadline:
            raise ToolError(
                f"The Docker engine was started but does not answer at {SOCKET} after"
                f" {START_SECONDS} s: see {LOG} or `journalctl -u docker`."
            )
        time.sleep(0.2)


def _ensure_client(step: Step) -> None:
    if on_path("docker"):
        return
    if not debian.can_install():
        raise ToolError(
            "The engine is there but the `docker` client is not on PATH: install it"
            " (Debian: `sudo apt-get install docker-cli`), then run make again."
        )
    debian.install(step, _client_package() or ["docker.io"])


def _client_package() -> list[str]:
    """Name the client's package where it is one of its own (Debian 13 and later)."""
    return ["docker-cli"] if debian.known("docker-cli") else []


def _version(address: str) -> str:
    version = _ask()
    if version is None:
        raise ToolError(
            f"The Docker engine at {address} does not answer the `docker` client: see what"
            " `docker version` says, then run make again."
        )
    return version


def _ask() -> str | None:
    return answer(["docker", "version", "--format", "{{.Server.Version}}"])
