"""Fixtures: an agent built once, and stacks that leave nothing behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.agent.build import build
from tests.ops.local.stack import Stack


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The agent and its sha256, the same for all runs even if its source changes meanwhile."""
    path = tmp_path_factory.mktemp("agent") / "agent.pyz"
    return path, build(path)


@pytest.fixture
def empty_stack(tmp_path: Path, agent: tuple[Path, str]) -> Iterator[Stack]:
    """A stack with nothing in it."""
    stack = Stack(tmp_path, *agent)
    yield stack
    stack.remove()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, agent: tuple[Path, str]) -> Iterator[Stack]:
    """A stack whose machines run; every test leaves them running."""
    made = Stack(tmp_path_factory.mktemp("stack"), *agent)
    made.up()
    yield made
    made.remove()
