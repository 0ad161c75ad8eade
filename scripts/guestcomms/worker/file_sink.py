"""A provider that sends nothing: it writes every attempt into a file, before it answers.

For demonstrations and for tests, in which it can misbehave.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from guestcomms.worker.message import Kind, Message, Outcome

CHANNELS = frozenset({"email", "sms", "push", "in_app"})


@dataclass(frozen=True)
class Misbehaviour:
    """Shares of attempts, 0 to 1, that end otherwise than sent."""

    temporary: float = 0.0
    permanent: float = 0.0
    unknown: float = 0.0
    die: float = 0.0
    """The process is killed after the line was written and before anybody could report it."""


class FileSink:
    """Appends one JSON line per attempt; several processes may share the file."""

    name = "file"
    channels = CHANNELS

    def __init__(
        self,
        path: Path,
        *,
        sync: bool = False,
        content: bool = True,
        delay_seconds: float = 0.0,
        misbehaviour: Misbehaviour | None = None,
    ) -> None:
        self._misbehaviour = misbehaviour or Misbehaviour()
        self._sync, self._content, self._delay = sync, content, delay_seconds
        self.longest_seconds = delay_seconds + 1.0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def send(self, message: Message) -> Outcome:
        if self._delay:
            time.sleep(self._delay)
        fate = self._draw()
        self._write(message, fate)
        if fate == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        kind = _kind(fate)
        if kind in {"sent", "unknown"}:
            return Outcome(kind, provider_message_id=f"file-{message.recipient_id}")
        return Outcome(kind, error_code="sink", error_message="The file sink was told so.")

    def close(self) -> None:
        os.close(self._file)

    def _draw(self) -> str:
        shares, drawn = asdict(self._misbehaviour), random.random()  # noqa: S311 - no secret
        for fate, share in shares.items():
            drawn -= share
            if drawn < 0:
                return fate
        return "sent"

    def _write(self, message: Message, fate: str) -> None:
        line = asdict(message)
        if not self._content:
            del line["body"], line["text"]
        line |= {"outcome": fate, "at": datetime.now(UTC).isoformat(), "pid": os.getpid()}
        data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        # One write with O_APPEND: lines of several processes never mix.
        if os.write(self._file, data) != len(data):
            raise OSError(f"The sink took only a part of the line of {message.recipient_id}.")
        if self._sync:
            os.fsync(self._file)


def _kind(fate: str) -> Kind:
    return next(kind for kind in get_args(Kind) if kind == fate)
