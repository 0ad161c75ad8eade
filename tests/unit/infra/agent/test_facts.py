import json
from pathlib import Path
from typing import Any

import pytest

from infra.agent import facts
from infra.agent.errors import AgentError


def _machine(tmp_path: Path, values: dict[str, Any]) -> facts.Machine:
    path = tmp_path / "machine.json"
    path.write_text(json.dumps(values))
    return facts.machine(path)


def test_a_machine_is_read_whole(machine: facts.Machine) -> None:
    assert machine.name == "pg-1"
    assert machine.database_machines == ("pg-1", "pg-2", "pg-3")
    assert machine.directories[0].mode == 0o750


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "pg-1; reboot"),
        ("name", "pg-1\n"),
        ("role", "king"),
        ("bootstrap", "NEW"),
        ("stanza", "../other"),
        ("database", 'wed"sync'),
        ("database_machines", ["pg-1", "-oProxyCommand=x"]),
        ("directories", [{"path": "/a/../etc", "owner": "root", "group": "root", "mode": "0755"}]),
        ("directories", [{"path": "/a", "owner": "root", "group": "root", "mode": "4755"}]),
        ("listens", [0]),
        ("listens", [True]),
    ],
)
def test_a_value_outside_its_pattern_is_refused_by_name(
    tmp_path: Path, machine_facts: dict[str, Any], key: str, value: object
) -> None:
    with pytest.raises(AgentError, match=key):
        _machine(tmp_path, machine_facts | {key: value})


def test_a_missing_file_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="comes with the machine"):
        facts.machine(tmp_path / "machine.json")


def test_an_address_must_be_one(tmp_path: Path, place_facts: dict[str, Any]) -> None:
    place_facts["machines"]["pg-1"] = "10.0.0.11 evil"
    path = tmp_path / "place.json"
    path.write_text(json.dumps(place_facts))
    with pytest.raises(AgentError, match=r"machines\.pg-1: '10\.0\.0\.11 evil'"):
        facts.place(path)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/etc/prometheus/consoles/../../x.html", "/etc/prometheus/web.yml"]
)
def test_only_console_pages_are_delivered_as_files(
    tmp_path: Path, place_facts: dict[str, Any], path: str
) -> None:
    place = tmp_path / "place.json"
    page = {"/etc/prometheus/consoles/overview.html": "x"}
    place.write_text(json.dumps(place_facts | {"files": page}))
    assert facts.place(place).files == page
    place.write_text(json.dumps(place_facts | {"files": {path: "x"}}))
    with pytest.raises(AgentError, match="files"):
        facts.place(place)
