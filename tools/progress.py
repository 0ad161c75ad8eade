"""Progress of long steps: what runs, for how many seconds, and how it ended."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# A terminal sees the seconds count; a log gets a sign of life now and then.
SECONDS_BETWEEN_SIGNS = {True: 1.0, False: 30.0}


class Step:
    """One line of progress: `pulumi  building it, some 6 minutes, once … 83 s`."""

    def __init__(self, name: str) -> None:
        self.result = "done"
        self._name = name
        self._activity = ""
        self._started = time.monotonic()
        self._terminal = sys.stdout.isatty()
        self._finished = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def doing(self, activity: str) -> None:
        """Tell what happens now, because it may take long."""
        self._activity = activity
        self._show()
        if not self._ticker.is_alive():
            self._ticker.start()

    def close(self, result: str) -> None:
        """Print the line that stays."""
        self._finished.set()
        if self._ticker.is_alive():
            self._ticker.join()
        self._print(f"{self._name:<8}{result} ({self._seconds:.1f} s)", stays=True)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _tick(self) -> None:
        while not self._finished.wait(SECONDS_BETWEEN_SIGNS[self._terminal]):
            self._show()

    def _show(self) -> None:
        self._print(f"{self._name:<8}{self._activity} … {self._seconds:.0f} s", stays=False)

    def _print(self, line: str, *, stays: bool) -> None:
        if self._terminal:
            line = f"\r\033[K{line}"
        end = "\n" if stays or not self._terminal else ""
        sys.stdout.write(line + end)
        sys.stdout.flush()


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Show a step from its start to its end; the body sets `result` to what is to be remembered."""
    current = Step(name)
    try:
        yield current
    except BaseException:
        current.close("failed")
        raise
    current.close(current.result)
