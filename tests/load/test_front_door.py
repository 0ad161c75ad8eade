"""k6 through the real front door: many clients at once, and every answer is its asker's own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.ops.cluster.harness import Cluster

SCENARIO = Path(__file__).parents[2] / "loadtest" / "scenarios" / "front_door.js"
QUIET = {
    "K6_NO_USAGE_REPORT": "true",
    "K6_AUTO_EXTENSION_RESOLUTION": "false",
}


def k6(dsn: str, *, clients: int, seconds: int, at_least: int) -> tuple[int, dict[str, Any]]:
    """Run the scenario, and return k6's exit code and its metrics."""
    done = subprocess.run(
        ["k6", "run", "--quiet", str(SCENARIO)],
        env={
            **os.environ, **QUIET, "DSN": dsn, "CLIENTS": str(clients),
            "DURATION": f"{seconds}s", "AT_LEAST": str(at_least),
        },
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stdout.startswith("{"), done.stderr
    return done.returncode, dict(json.loads(done.stdout))


def test_two_hundred_clients_get_their_own_answers(cluster: Cluster) -> None:
    code, metrics = k6(cluster.dsn(), clients=200, seconds=10, at_least=2000)
    assert code == 0, metrics
    assert metrics["answered"]["values"]["count"] >= 2000
    assert metrics["checks"]["values"]["fails"] == 0


def test_the_run_fails_when_nothing_is_answered(cluster: Cluster) -> None:
    nobody = cluster.dsn().replace("wedsync_app", "wedsync_nobody")
    code, _metrics = k6(nobody, clients=1, seconds=1, at_least=1)
    assert code != 0


def test_the_run_fails_when_a_standby_answers(cluster: Cluster) -> None:
    code, metrics = k6(cluster.dsn("--read-only"), clients=2, seconds=2, at_least=1)
    assert code == 99  # a threshold was crossed
    assert metrics["checks"]["values"]["fails"] > 0
