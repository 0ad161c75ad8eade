"""One container with a pooler, and tenants of load runs in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from guestcomms.load import data, plan, result
from guestcomms.load.target import Target

from tests.db.server import Database, bootstrapped_server
from tests.load.place import pooled

CATALOGUE = plan.catalogue().model_copy(update={"tenants": (1000, 500, 300, 200, 100, 100)})


@pytest.fixture(scope="session")
def place() -> Iterator[Database]:
    with bootstrapped_server({"track_functions": "pl"}) as server:
        yield server.clone("template_full", "load")


@pytest.fixture(scope="session")
def tenants(place: Database) -> data.Data:
    with pooled(place) as target:
        return data.prepare(target, CATALOGUE, lambda _: None)


@pytest.fixture
def target(place: Database) -> Iterator[Target]:
    with pooled(place) as made:
        yield made


@pytest.fixture(autouse=True)
def _own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result, "FOLDER", tmp_path / "load")
