"""Which component a process is, and whose its CPU and memory are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loadtest import sampler

TICK = os.sysconf("SC_CLK_TCK")
MIB = 2**20 // os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "self").mkdir()
    return tmp_path


def process(proc: Path, pid: int, name: str, parent: int, *, own: int, children: int = 0) -> None:
    """A process that used so many seconds, of 40 MiB, 30 of them shared."""
    folder = proc / str(pid)
    folder.mkdir()
    times = [own * TICK, 0, 0, children * TICK]
    before = " ".join(["S", str(parent), *["0"] * 9])
    (folder / "stat").write_text(f"{pid} ({name}) {before} {' '.join(map(str, times))} 20 0 1\n")
    (folder / "statm").write_text(f"{100 * MIB} {40 * MIB} {30 * MIB} 1 0 1 0\n")


def test_an_archiver_s_children_are_pgbackrest(proc: Path) -> None:
    process(proc, 10, "postgres", 1, own=1, children=100)  # backends that have ended
    process(proc, 11, "postgres", 10, own=2, children=50)  # the archiver
    process(proc, 12, "postgres", 10, own=4)
    process(proc, 13, "pgbackrest", 11, own=8)
    used = sampler.processes(proc)
    assert used.cpu == {"postgres": 107, "pgbackrest": 58}
    assert used.processes == {"postgres": 3, "pgbackrest": 1}


def test_exporters_are_not_what_they_watch(proc: Path) -> None:
    process(proc, 10, "postgres_export", 1, own=1)
    process(proc, 11, "prometheus-pgbo", 1, own=2)
    process(proc, 12, "pgbouncer) (x", 1, own=4)
    assert sampler.processes(proc).cpu == {"other": 5, "prometheus": 2}


def test_shared_memory_is_nobody_s_own(proc: Path) -> None:
    process(proc, 10, "postgres", 1, own=1)
    process(proc, 11, "postgres", 10, own=1)
    assert sampler.processes(proc).memory == {"postgres": 20 * 2**20}


def test_a_process_that_ended_is_left_out(proc: Path) -> None:
    (proc / "10").mkdir()
    process(proc, 11, "haproxy", 1, own=3)
    assert sampler.processes(proc).cpu == {"haproxy": 3}
