"""What a user is told when the place `local` cannot do what was asked."""

import os
import socket
import subprocess
import sys

import pytest

from tests.ops.local.stack import PulumiError, Stack


def test_port_in_use_is_named_before_anything_is_made(empty_stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        empty_stack.change(port=port)
        with pytest.raises(PulumiError) as failure:
            empty_stack.pulumi("up", "--yes")
    message = str(failure.value)
    assert f"127.0.0.1:{port} (read_write) is in use" in message
    assert "`ports.read_write` under `guestcomms:place`" in message
    assert empty_stack.objects() == set()


def test_container_that_holds_the_port_is_named(stack: Stack, empty_stack: Stack) -> None:
    empty_stack.change(port=stack.settings["port"])
    with pytest.raises(PulumiError, match=f"container {stack.owner.container('proxy-1')}"):
        empty_stack.pulumi("preview")


@pytest.mark.parametrize("command", ["preview", "up --yes"])
def test_engine_that_does_not_answer_is_one_clear_sentence(
    empty_stack: Stack, command: str
) -> None:
    with pytest.raises(PulumiError) as failure:
        empty_stack.pulumi(*command.split(), DOCKER_HOST="unix:///nonexistent.sock")
    assert "no Docker engine answers: start it" in str(failure.value)
    assert "Traceback" not in str(failure.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without rights")
def test_user_without_docker_rights_is_told_how_to_get_them() -> None:
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    ask = "from infra.local.engine import engine; engine()"
    done = subprocess.run(
        [*nobody, sys.executable, "-c", ask], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "PlaceError: Docker refuses this user: run as root, or join" in done.stderr


def test_container_of_somebody_else_is_left_alone(empty_stack: Stack) -> None:
    name = empty_stack.owner.container("drill-1")
    foreign = empty_stack.docker.containers.create("debian:trixie-slim", ["true"], name=name)
    try:
        with pytest.raises(PulumiError) as failure:
            empty_stack.up()
        assert f"container {name} exists and is not of this stack" in str(failure.value)
        assert "Traceback" not in str(failure.value)
        foreign.reload()
        assert foreign.status == "created"
    finally:
        foreign.remove(force=True)
