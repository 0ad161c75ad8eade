"""Databases for tests: `empty` has the bootstrap only, `database` is migrated. Each is a copy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from guestcomms import db, migrate, paths

from tests.db import queue_calls, script
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


@pytest.fixture(scope="module")
def shared(server: Server) -> Iterator[Database]:
    """One database for all tests of a module: each makes an organization of its own."""
    database = server.clone("template_full", f"test_{next(NUMBERS)}")
    yield database
    database.drop()


@pytest.fixture(scope="module")
def lived_in(shared: Database) -> Database:
    """The same, with rows in most tables."""
    script.run(shared)
    return shared


@pytest.fixture
def organization(database: Database) -> str:
    """One that applications and workers may act for."""
    return queue_calls.organization(database)


@pytest.fixture
def owner(database: Database) -> Iterator[db.Connection]:
    """The superuser, who sees everything."""
    with database.connect() as connection:
        yield connection


@pytest.fixture
def ops(database: Database) -> Iterator[db.Connection]:
    """Operations."""
    with database.connect("wedsync_ops") as connection:
        yield connection


@pytest.fixture
def worker(database: Database, organization: str) -> Iterator[db.Connection]:
    """A worker, which may enter every organization once there is one."""
    assert organization
    with database.connect("wedsync_worker") as connection:
        yield connection


@pytest.fixture
def tree(tmp_path: Path) -> migrate.Project:
    """A copy of our migrations, functions and policies that a test may change."""
    for folder in ("migrations", "functions", "policies"):
        shutil.copytree(paths.ROOT / folder, tmp_path / folder)
    return migrate.Project(tmp_path)
