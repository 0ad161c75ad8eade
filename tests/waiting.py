"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], bool],
    seconds: float = 20,
    problem: Callable[[], object] = lambda: "",
    poll_seconds: float = 0.05,
) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: it does not hold within `seconds`; says what `problem` returns.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {problem()}"
        time.sleep(poll_seconds)
