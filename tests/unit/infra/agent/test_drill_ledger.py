"""An attempt at a drill ends in time, whatever hangs in it."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path

import pytest

from infra.agent.copies import watched
from infra.agent.deadline import Connection
from infra.agent.drill_ledger import Attempt, Claim, LateError
from tests.waiting import wait_until

CLAIM = Claim("drill_20260102_030405_000000", "point", "now", True, False, 1, None, None)


def nobody() -> Connection:
    raise AssertionError("nothing is to be told yet")


def test_a_program_that_hangs_is_ended_when_the_drill_may_take_no_longer(tmp_path: Path) -> None:
    attempt = Attempt(CLAIM, "drill-1", nobody, threading.Event())
    attempt.beat()
    attempt.end_after(0.3)
    began, said = time.monotonic(), tmp_path / "said"
    with pytest.raises(LateError, match="not done within 0 s"):
        watched(["sh", "-c", "sleep 60 & echo $! $$; wait"], attempt.beat, said)
    assert time.monotonic() - began < 30
    for process in said.read_text().split():
        wait_until(partial(is_gone, process))


def is_gone(process: str) -> bool:
    """Whether a process has ended, waited for or not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
