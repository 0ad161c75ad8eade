"""Databases for tests: `empty` has the bootstrap only, `database` is migrated. Each is a copy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from guestcomms import migrate, paths

from tests.db.server import NUMBERS, Database, Server, bootstrapped_server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with bootstrapped_server() as running:
        yield running


@pytest.fixture
def empty(server: Server) -> Iterator[Database]:
    database = server.clone("template_empty", f"test_{next(NUMBERS)}")
    yield database
    database.drop()


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    database = server.clone("template_full", f"test_{next(NUMBERS)}")
    yield database
    database.drop()


@pytest.fixture
def tree(tmp_path: Path) -> migrate.Project:
    """A copy of our migrations, functions and policies that a test may change."""
    for folder in ("migrations", "functions", "policies"):
        shutil.copytree(paths.ROOT / folder, tmp_path / folder)
    return migrate.Project(tmp_path)
