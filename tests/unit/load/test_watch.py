"""What machines said, as figures: leaders that change, samples that are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from guestcomms.load import watch
from guestcomms.load.target import Target
from guestcomms.load.watch import Sample

POOL = {
    "cl_active": 7, "cl_waiting": 1, "sv_active": 2, "sv_idle": 3, "busiest": 2, "maxwait": 0.5,
    "size": 5, "cl_login": 6,
}  # fmt: skip


def sample(t: float, database: dict[str, Any] | None = None, **more: Any) -> Sample:
    """One of a machine that uses a second of CPU each second."""
    return {
        "t": t, "interval": 2.0, "cpu": {"postgres": t}, "memory": {"postgres": 50 * 2**20},
        "processes": {"postgres": 10}, "machine": {"busy": t, "idle": t, "cores": 2},
        "pool": dict(POOL), "database": database, **more,
    }  # fmt: skip


def leader(counted: float, **more: Any) -> dict[str, Any]:
    """What a leader says whose counters are all at a value; `ms` of a call is always 2."""
    names = ("hit", "read", "commits", "rollbacks", "deadlocks")
    return {
        "standby": False,
        "statistics": dict.fromkeys(names, counted),
        "wal": {"bytes": counted},
        "io": {"reads": counted, "writes": counted, "fsyncs": counted},
        "functions": [{"name": "bulk_send", "calls": counted, "ms": 2 * counted}],
        "sizes": {"bytes": 1000 + counted},
        **more,
    }


STANDBY = {"standby": True}


def test_another_leader_counts_from_elsewhere() -> None:
    # pg-1 counts 10 a second from a million, falls silent; pg-2 leads from 10 on, from 500 on.
    first = [sample(t, leader(1e6 + 10 * t)) for t in (0, 2, 4)]
    second = [sample(t, STANDBY) for t in (0, 2, 4, 6, 8)]
    second += [sample(t, leader(500 + 10 * t)) for t in (10, 12, 14, 16)]
    found = watch.figures({"pg-1": first, "pg-2": second}, 0, 16)
    assert found["commits_per_second"] == found["wal_bytes_per_second"] == pytest.approx(10)
    assert found["rollbacks_per_second"] == found["io_writes_per_second"] == pytest.approx(10)
    assert found["growth_bytes_per_second"] == pytest.approx(10)
    assert found["cache_hit"] == 0.5
    assert found["deadlocks"] == 40 + 60
    assert found["functions"] == {"bulk_send": {"calls": 40 + 60, "ms": 2}}
    assert found["leader"] == "pg-2"


def test_a_leader_that_comes_back_and_one_that_crashed_are_not_counted_across() -> None:
    came_back = [
        sample(0, leader(0)), sample(2, leader(20)), sample(4, STANDBY), sample(6, leader(900)),
        sample(8, leader(920)),
    ]  # fmt: skip
    assert watch.figures({"pg-1": came_back}, 0, 8)["commits_per_second"] == pytest.approx(10)
    crashed = [sample(t, leader(value)) for t, value in ((0, 800), (2, 820), (4, 3), (6, 23))]
    found = watch.figures({"pg-1": crashed}, 0, 6)
    assert found["commits_per_second"] == pytest.approx(10)
    assert found["functions"]["bulk_send"] == {"calls": 40, "ms": 2}


def test_cpu_of_a_server_that_began_again_is_not_lost() -> None:
    used = [sample(t, cpu={"postgres": value}) for t, value in ((0, 90), (2, 92), (4, 1), (6, 3))]
    assert watch.figures({"pg-1": used}, 0, 6)["cpu"]["postgres"] == pytest.approx(4 / 6, abs=1e-3)


def test_missing_samples_are_counted() -> None:
    told = [sample(t, leader(t)) for t in range(0, 60, 2)]
    for one in told[2:]:
        one["pool"] = None
    for one in told[10:]:
        one["database"]["statistics"] = None
    found = watch.figures({"pg-1": told}, 0, 60)
    assert (found["samples_expected"], found["samples"]) == (30, 30)
    assert (found["pool_samples"], found["database_samples"]) == (2, 10)


def test_clients_are_those_of_the_application() -> None:
    found = watch.figures({"pg-1": [sample(0, leader(0)), sample(2, leader(1))]}, 0, 2)
    assert (found["pool_clients_min"], found["pool_all_clients_mean"]) == (6, 8)


def test_memory_and_bloat_are_drawn_for_each_machine() -> None:
    tables = {"live": 1000.0, "dead": 100.0, "bytes": 8e5, "queue_bytes": 2.0**20}
    leading = [sample(t, leader(t, tables=tables)) for t in (0, 2, 4)]
    proxy = [sample(t, memory={"haproxy": 2**20, "other": 5}, pool=None) for t in (0, 2, 4)]
    found = watch.series({"pg-1": leading, "proxy-1": proxy}, 0)
    first = {name: points[0] for name, points in found.items() if not name.startswith("pool ")}
    assert first == {
        "cpu pg-1 postgres": (2, 1), "memory postgres pg-1": (2, 50),
        "cpu proxy-1 postgres": (2, 1), "memory haproxy proxy-1": (2, 1), "dead rows %": (2, 10),
        "bytes a row": (2, 800), "queue table MiB": (2, 1),
        "wal MiB/s": (2, pytest.approx(1 / 2**20)),
    }  # fmt: skip


def test_the_latest_sample_is_the_last_whole_line(tmp_path: Path) -> None:
    target = Target("t", "test", "", "", "", machines={"a": (), "b": (), "c": ()})
    fewer = dict(POOL, cl_active=0)
    lines = [sample(float(number), pool=fewer) for number in range(2000)]
    (tmp_path / "watch-a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    half = json.dumps(sample(5)) + "\n" + json.dumps(sample(7))[:50]
    (tmp_path / "watch-b.jsonl").write_text("channel opened\n" + half)
    watching = watch.Watch(target, tmp_path, 10)
    latest = watching.latest()
    assert latest is not None
    assert latest["t"] == 5
    # Looking again at once costs nothing.
    (tmp_path / "watch-b.jsonl").write_text("")
    assert watching.latest() is latest
