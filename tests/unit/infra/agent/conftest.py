"""Facts of a machine as its user-data and its place would tell them."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.agent import facts

HERE = Path(__file__).parent


@pytest.fixture
def machine_facts() -> dict[str, Any]:
    return {
        "name": "pg-1",
        "role": "database",
        "stanza": "wedsync",
        "scope": "wedsync",
        "database": "wedsync",
        "bootstrap": "new",
        "directories": [
            {"path": "/var/lib/x", "owner": "postgres", "group": "ssl-cert", "mode": "0750"}
        ],
    }


@pytest.fixture
def place_facts() -> dict[str, Any]:
    return {
        "place": "local",
        "stack": "local",
        "machines": {
            "pg-2": "10.0.0.12",
            "pg-1": "10.0.0.11",
            "pg-3": "10.0.0.13",
            "store-1": "10.0.0.2",
        },
        "repository": {
            "endpoint": "store-1",
            "host": "store-1",
            "port": 8333,
            "region": "us-east-1",
            "bucket": "wedsync-backups",
            "uri_style": "path",
        },
    }


@pytest.fixture
def machine(
    tmp_path: Path, machine_facts: dict[str, Any], place_facts: dict[str, Any]
) -> facts.Machine:
    machine, place = tmp_path / "machine.json", tmp_path / "place.json"
    machine.write_text(json.dumps(machine_facts))
    place.write_text(json.dumps(place_facts))
    return facts.machine(machine, place)


@pytest.fixture
def place(tmp_path: Path, place_facts: dict[str, Any]) -> facts.Place:
    path = tmp_path / "place.json"
    path.write_text(json.dumps(place_facts))
    return facts.place(path)


@pytest.fixture
def info() -> Any:
    """What pgBackRest 2.55.1 really said after a full and an incremental backup."""
    return json.loads((HERE / "info.json").read_text())
