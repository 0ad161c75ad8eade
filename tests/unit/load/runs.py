"""Runs as they would have been measured."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

from guestcomms.load import plan
from guestcomms.load.result import Operation, Result, Step

BEGAN = datetime(2026, 11, 22, 12, tzinfo=UTC)
QUIET: dict[str, Any] = {
    "samples": 30, "pool_clients_min": 2000, "pool_size": 20, "pool_use": 0.4,
    "pool_waiting_mean": 0.0, "machine_idle": 0.5, "machine_cores": 2.0, "cache_hit": 0.999,
    "cpu": {
        "postgres": 0.5, "pg-1/postgres": 0.4, "pg-2/postgres": 0.1, "pg-1/pgbouncer": 0.2,
        "proxy-1/haproxy": 0.05,
    },
    "leader": "pg-1", "waits": {"CPU": 1.0},
    "functions": {
        "bulk_send": {"calls": 30.0, "ms": 5.0}, "render_template": {"calls": 100.0, "ms": 0.5},
        "enter_tenant": {"calls": 300.0, "ms": 0.1},
    },
    "memory": {"pg-1/postgres": 200 * 2**20, "pg-1/pgbouncer": 2**20, "haproxy": 2**22},
    "processes": {"pg-1/postgres": 20.0}, "pool_all_clients_mean": 64.0,
    "io_reads_per_second": 10.0, "io_writes_per_second": 500.0, "io_fsyncs_per_second": 100.0,
    "wal_bytes_per_second": 1e6, "pool_active_mean": 8.0, "growth_bytes_per_second": 1e6,
    "samples_expected": 30.0, "pool_samples": 30, "database_samples": 30,
}  # fmt: skip


def run(name: str = "sustained-clients", *, late: float = 10, **server: Any) -> Result:
    """A run in which every operation was answered a thousand times in time."""
    found = plan.catalogue()
    scenario = found.scenario(name)
    names = plan.operations(scenario, found)
    answers = {
        one: max(1000, round(found.per_minute.get(one, 0) * part.rate / 60 * part.seconds))
        for part in plan.windows(scenario)
        for one in names
    }
    return Result(
        run_id="00000000-0000-4000-8000-000000000000", name=name, stack="test", place="local",
        scenario=scenario, started_at=BEGAN, completed_at=BEGAN, machine="2 cores",
        commit="0123456", versions={},
        generator={
            "lag_p95_ms": late, "exit_code": 0, "cut_off": 0,
            "last_answer_s": plan.duration(scenario),
        },
        generator_rates={one: found.per_minute.get(one, 0) / 60 for one in names},
        steps=[
            Step(
                begin=part.begin, end=part.end, rate=part.rate,
                operations={
                    one: Operation(
                        answered=answers[one], per_second=answers[one] / part.seconds, p99_ms=100
                    )
                    for one in names
                },
            )
            for part in plan.windows(scenario)
        ],
        errors={}, blocks={}, server={**QUIET, **server}, series={},
    )  # fmt: skip


def blocks(seed: int, factor: float = 1, tail: float = 1) -> dict[str, list[float]]:
    """Thirty blocks of a busy machine: slow stretches, and noise of a tenth.

    Parameters: bulk_send takes `factor` times as long, its slowest calls `tail` times more.
    """
    dice = random.Random(seed)  # noqa: S311 - the same in every run
    slow = 1.0
    names = ("bulk_send", "bulk_send, P95", "status_update", "status_update, P95", "calls/s")
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(30):
        slow = 1 + 0.5 * (slow - 1) + dice.gauss(0, 0.03)
        found["bulk_send"].append(20 * slow * dice.gauss(1, 0.05) * factor)
        found["status_update"].append(8 * slow * dice.gauss(1, 0.05))
        found["calls/s"].append(1000 / slow * dice.gauss(1, 0.05))
        found["bulk_send, P95"].append(60 * slow * dice.gauss(1, 0.1) * factor * tail)
        found["status_update, P95"].append(30 * slow * dice.gauss(1, 0.1))
    return found
