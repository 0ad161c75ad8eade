"""Stopping: the first signal asks for it, the second one is obeyed at once."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

STEP_SECONDS = 0.1
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether to stop: after a signal, or when the supervisor that started us is gone."""

    def __init__(self, parent: int | None = None) -> None:
        self._parent, self._asked = parent, False

    def listen(self) -> None:
        """Take SIGTERM and SIGINT."""
        for number in SIGNALS:
            signal.signal(number, self._signalled)

    @property
    def asked(self) -> bool:
        """Whether to begin nothing new."""
        return self._asked or (self._parent is not None and os.getppid() != self._parent)

    def ask(self) -> None:
        """Stop as soon as what is in hand is done."""
        self._asked = True

    def wait(self, seconds: float) -> None:
        """Sleep, at most until it is time to stop."""
        deadline = time.monotonic() + seconds
        # In steps: waiting for an Event that a signal handler sets can deadlock.
        while not self.asked and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, STEP_SECONDS))

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        if self._asked:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._asked = True
