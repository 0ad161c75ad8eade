import json
from pathlib import Path
from typing import Any

import pytest

from infra.agent import facts
from infra.agent.errors import AgentError


def _machine(tmp_path: Path, values: dict[str, Any], place_facts: dict[str, Any]) -> facts.Machine:
    path, place = tmp_path / "machine.json", tmp_path / "place.json"
    path.write_text(json.dumps(values))
    place.write_text(json.dumps(place_facts))
    return facts.machine(path, place)


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
        ("directories", [{"path": "/a/../etc", "owner": "root", "group": "root", "mode": "0755"}]),
        ("directories", [{"path": "/a", "owner": "root", "group": "root", "mode": "4755"}]),
        ("listens", [0]),
        ("listens", [True]),
    ],
)
def test_a_value_outside_its_pattern_is_refused_by_name(
    tmp_path: Path,
    machine_facts: dict[str, Any],
    place_facts: dict[str, Any],
    key: str,
    value: object,
) -> None:
    with pytest.raises(AgentError, match=key):
        _machine(tmp_path, machine_facts | {key: value}, place_facts)


def test_the_database_machines_are_those_of_the_place_by_number(
    tmp_path: Path, machine_facts: dict[str, Any], place_facts: dict[str, Any]
) -> None:
    place_facts["machines"] |= {"pg-10": "10.0.0.20", "pg-x": "10.0.0.21", "proxy-1": "10.0.0.6"}
    with pytest.raises(AgentError, match="pg-x"):
        _machine(tmp_path, machine_facts, place_facts)
    del place_facts["machines"]["pg-x"]
    machine = _machine(tmp_path, machine_facts, place_facts)
    assert machine.database_machines == ("pg-1", "pg-2", "pg-3", "pg-10")
    assert (
        _machine(tmp_path, machine_facts | {"role": "proxy"}, place_facts).database_machines == ()
    )


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
