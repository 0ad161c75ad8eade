"""Every alert has a runbook, and every command in a runbook exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from guestcomms.cli.app import app

from infra.machine.alerts import rule_files, secret_file
from infra.spec import ClusterSpec, SpecError

FOLDER = Path(__file__).parents[3] / "docs" / "runbooks"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
SPEC = ClusterSpec.load("local", {})
RULES: list[dict[str, Any]] = [
    rule
    for file in rule_files(SPEC)
    for group in yaml.safe_load(file.content)["groups"]
    for rule in group["rules"]
]
COMMANDS = sorted(
    {
        command
        for page in PAGES.values()
        for command in re.findall(r"\.venv/bin/guestcomms ([a-z][^`\n]*)", page)
    }
)
PROGRAM = typer.main.get_command(app)


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {rule["alert"] for rule in RULES} == PAGES.keys() - {"README"}
    assert all(f"[{name}]({name}.md)" in PAGES["README"] for name in PAGES.keys() - {"README"})


@pytest.mark.parametrize("name", sorted(PAGES.keys() - {"README"}))
def test_a_runbook_says_what_to_do(name: str) -> None:
    page = PAGES[name]
    assert page.startswith(f"# {name}\n")
    parts = ("**Impact.** ", "## Check\n", "## Act\n", "## Prevent\n")
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    assert re.search(r"^```(console|sql)$", page, flags=re.MULTILINE), "nothing to check with"


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_exists(line: str) -> None:
    """Parsed as the command line itself parses it: groups, options, arguments."""
    words, command = shlex.split(line), PROGRAM
    context = command.make_context("guestcomms", [words[0]], resilient_parsing=True)
    while hasattr(command, "commands") and words != ["--help"]:
        name, *words = words
        assert name in command.commands, f"{line}: no command {name}"
        command = command.commands[name]
    if words != ["--help"]:
        command.make_context(command.name, words, parent=context)


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no command nonsense"):
        test_every_command_exists("backup nonsense")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_tells_severity_value_and_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"} or rule["alert"] == "Watchdog"
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
    assert "{{" not in notes["summary"]


def test_patience_and_thresholds_reach_the_rules() -> None:
    spec = ClusterSpec.load(
        "local",
        {"alerts": {"patience": 0.5, "disk_usage_warning": 61, "runbooks": "https://r.example"}},
    )
    storage = next(file for file in rule_files(spec) if file.path.endswith("/storage.yml"))
    rules = {r["alert"]: r for r in yaml.safe_load(storage.content)["groups"][0]["rules"]}
    assert rules["DiskUsageHigh"]["for"] == "150s"
    assert rules["DiskUsageHigh"]["expr"].endswith("> 61.0")
    assert rules["DiskFull"]["annotations"]["runbook_url"] == "https://r.example/DiskFull.md"


RECEIVERS = [{"kind": "webhook", "name": "chat"}, {"kind": "pagerduty", "name": "on-call"}]


def test_secrets_of_receivers_are_complete_and_never_repeated() -> None:
    spec = ClusterSpec.load("local", {"receivers": RECEIVERS})
    assert secret_file(spec, {"chat": "u", "on-call": "k"}) == '{"chat": "u", "on-call": "k"}'
    with pytest.raises(ValueError, match="without a secret: on-call") as caught:
        secret_file(spec, {"chat": "s3cret"})
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ValueError, match="no receiver is named mail"):
        secret_file(spec, {"chat": "u", "on-call": "k", "mail": "s3cret"})


@pytest.mark.parametrize(
    ("receivers", "expected"),
    [
        ([{"kind": "pigeon", "name": "coo"}], "receivers"),
        ([{"kind": "webhook", "name": "chat"}] * 2, "chat stands there twice"),
        ([{"kind": "sns", "name": "t", "topic_arn": "arn:wrong"}], "topic_arn"),
        ([{"kind": "webhook", "name": "Chat Room"}], "name"),
    ],
)
def test_a_wrong_receiver_is_explained(receivers: list[dict[str, Any]], expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        ClusterSpec.load("local", {"receivers": receivers})
