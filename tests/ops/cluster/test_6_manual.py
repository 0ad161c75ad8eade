"""The manual's commands, and those that runbooks of backups check with, on a cluster that lives."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.ops.cluster.harness import ROOT, Cluster
from tests.runbooks import BACKUPS, section

TEXT = (ROOT / "docs" / "operations-manual.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
PREFIX = ".venv/bin/guestcomms "
COMMANDS = [line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines()]
JUDGES = {"readiness", "health"}
"""A cluster that stands since a minute is not ready for everything: exit 6, with the reasons."""


def checked(runbook: str) -> list[str]:
    """The commands under `## Check`."""
    return re.findall(r"^\$ (.*)$", section(runbook, "Check"), flags=re.MULTILINE)


CHECKS = sorted({command for runbook in BACKUPS for command in checked(runbook)})


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 4
    assert all(checked(runbook) for runbook in BACKUPS)
    assert all(command.startswith(PREFIX) for command in [*COMMANDS, *CHECKS])


def test_every_check_of_a_runbook(cluster: Cluster) -> None:
    """Nothing is wrong here, and they say so; there is one drill, or `restore show` has none."""
    if cluster.json("restore", "history") == []:
        cluster.run("restore", "drill", "--no-wait")
    for command in CHECKS:
        if command not in COMMANDS:
            done = cluster.run(*shlex.split(command.removeprefix(PREFIX)))
            assert "Traceback" not in done.stderr, command
            assert done.stdout.strip(), command


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command(cluster: Cluster, command: str) -> None:
    words = shlex.split(command.removeprefix(PREFIX))
    done = cluster.run(*words, ok=False)
    allowed = (0, 6) if words[0] in JUDGES else (0,)
    assert done.returncode in allowed, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) >= 3


def test_the_database_measures_itself_and_prometheus_sees_it(cluster: Cluster) -> None:
    """pg_cron calls collect_performance_metrics() each minute; the exporter shows what it noted."""
    cluster.query("SELECT count(*) FROM collect_performance_metrics()", "--role", "ops")
    said = cluster.on(
        cluster.leader,
        "curl -s --cacert /etc/guestcomms/tls/ca.crt --cert /etc/guestcomms/tls/machine.crt"
        f" --key /etc/guestcomms/tls/machine.key https://{cluster.leader}:9187/metrics",
    )
    assert 'guestcomms_health_result{check_name="' in said
    assert "guestcomms_measured_value{" in said
