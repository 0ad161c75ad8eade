"""Fixtures: stacks that leave nothing behind."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.ops.local.stack import Stack


@pytest.fixture
def empty_stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack with nothing in it."""
    with closing(Stack(tmp_path)) as stack:
        yield stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose machines run; every test leaves them running."""
    with closing(Stack(tmp_path_factory.mktemp("stack"))) as made:
        made.up()
        yield made
