"""What of a run is kept in the database."""

from __future__ import annotations

import re

from guestcomms.load import result
from guestcomms.load.result import Reference

from tests.unit.load import runs


def test_everything_that_a_verdict_rests_on_is_kept() -> None:
    found = runs.run(memory={"pg-1/postgres": 5e7})
    found.interrupted = True
    found.generator = {"lag_p95_ms": 12, "lag_max_ms": None, "cpu_cores": 0.5, "exit_code": 99}
    found.reference = Reference(clients=50, seconds=10, mix=[80, 90, 100], plain=[100, 120, 90])
    rows = list(result.figures(found))
    kept = {(name, *labels.values()): value for name, labels, value in rows}
    assert len(kept) == len(rows), "the table's key"
    assert all(re.fullmatch("[a-z][a-z0-9_]{0,62}", name) for name, _, _ in rows)
    wanted = {
        ("interrupted",): 1.0,
        ("generator_lag_p95_ms",): 12,
        ("generator_cpu_cores",): 0.5,
        ("generator_exit_code",): 99,
        ("reference_calls_per_second", "mix", 2): 90,
        ("reference_calls_per_second", "plain", 3): 90,
        ("reference_ratio",): 0.9,
        ("function_calls", "bulk_send"): 30,
        ("function_mean_ms", "bulk_send"): 5,
        ("wait_share", "CPU"): 1,
        ("cpu_cores", "pg-1/postgres"): 0.4,
        ("memory_bytes", "pg-1/postgres"): 5e7,
        ("answered_calls", "bulk_send", 1, 1.0): 1000,
    }
    assert {key: kept.get(key) for key in wanted} == wanted
    assert ("generator_lag_max_ms",) not in kept
