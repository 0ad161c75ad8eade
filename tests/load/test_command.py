"""`guestcomms load` as a pipeline sees it: exit codes, JSON, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from guestcomms import db, paths
from guestcomms.cli import load
from guestcomms.cli.__main__ import main
from guestcomms.load import plan, result
from guestcomms.load.target import Target

from tests.load.conftest import CATALOGUE

SMALL = ("--clients", "10", "--seconds", "6")


@pytest.fixture
def stack(target: Target, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The one container in place of a stack, whose name and marks a test sets."""
    found = SimpleNamespace(name="local", outputs=SimpleNamespace(spec={}))
    monkeypatch.setattr(load, "load_stack", lambda _: found)
    monkeypatch.setattr(Target, "of", lambda _: target)
    monkeypatch.setattr(plan, "catalogue", lambda: CATALOGUE)
    return found


def demanding(monkeypatch: pytest.MonkeyPatch, **demand: Any) -> None:
    """Demand that of every scenario."""
    scenarios = {
        name: one.model_copy(update={"demand": plan.Demand(**demand)})
        for name, one in CATALOGUE.scenarios.items()
    }
    changed = CATALOGUE.model_copy(update={"scenarios": scenarios})
    monkeypatch.setattr(plan, "catalogue", lambda: changed)


@pytest.mark.usefixtures("stack", "tenants")
def test_a_run_that_misses_a_demand_is_exit_code_6_and_kept(
    target: Target, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    demanding(monkeypatch, p99_ms=0.001)
    code = main(["load", "run", "sustained-clients", *SMALL, "--json"])
    out, err = capfd.readouterr()
    assert code == 6, err
    made = json.loads(out)
    assert "Demands were missed in sustained-clients" in err
    assert made["met"] is False
    assert made["causes"]
    missed = [one["what"] for one in made["verdict"] if not one["met"]]
    assert "template_render, P99 ms" in missed
    assert made["steps"][0]["operations"]["template_render"]["answered"] > 0
    with target.connect("ops") as ops:
        query = (
            "SELECT metric_value FROM public.communication_load_metrics"
            " WHERE run_id = %s AND metric_name = 'met'"
        )
        assert db.one_value(ops, query, (made["run_id"],)) == 0
    assert result.load("sustained-clients").file.with_suffix(".html").is_file()
    assert main(["load", "compare", "sustained-clients", "sustained-clients"]) != 0  # too short


@pytest.mark.usefixtures("stack", "tenants")
def test_verify_is_one_verdict_of_every_scenario(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    demanding(monkeypatch, success=0.5)
    code = main(["load", "verify", *SMALL, "--rate", "0.3", "--turns", "0", "--json"])
    out, err = capfd.readouterr()
    assert code in {0, 6}, err
    verdict = json.loads(out)
    assert [one["name"] for one in verdict["runs"]] == list(CATALOGUE.verify["scenarios"])
    assert verdict["met"] is all(one["met"] for one in verdict["runs"])
    assert code == (0 if verdict["met"] else 6)
    for one in verdict["runs"]:
        (success,) = [line for line in one["verdict"] if line["what"] == "success"]
        assert success["met"]


@pytest.mark.parametrize("command", [["run", "sustained-clients"], ["verify"]])
def test_production_is_refused_without_its_name(
    stack: SimpleNamespace, command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    stack.name = "Weddings_Prod"
    for name in ([], ["--yes-production", "weddings"]):
        assert main(["load", *command, *SMALL, *name]) == 5
        assert "--yes-production Weddings_Prod" in capfd.readouterr().err
    assert list(result.FOLDER.glob("*")) == []


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("missing", ["k6", "pgbench"])
def test_a_missing_program_is_said_before_anything_is_made(
    target: Target, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    count = "SELECT count(*) FROM public.guest_communications"
    with target.connect("ops") as ops:
        before = db.one_value(ops, count)
        with monkeypatch.context() as bare:  # what cleans up afterwards needs its programs
            bare.setenv("PATH", str(tmp_path))
            if missing == "k6":
                bare.setattr(paths, "TOOLS", tmp_path)
            assert main(["load", "verify", *SMALL]) == 5
        assert f"`{missing}` is not installed" in capfd.readouterr().err
        assert db.one_value(ops, count) == before
    assert list(result.FOLDER.glob("*")) == []
