"""A connection that always answers or breaks: no call on it takes longer than its deadline.

`statement_timeout` is the server's, and a server that is frozen (a stopped process, a paused
machine) keeps none; its kernel still acknowledges what is sent, so TCP notices nothing either.
"""

import contextlib
import os
import socket
import threading
from typing import Any, TypeVar

import psycopg

DEADLINE = 15.0  # seconds: longer than a statement of ours may take

Answer = TypeVar("Answer")


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose calls raise psycopg.OperationalError after DEADLINE seconds."""

    deadline = DEADLINE

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait as psycopg does; every statement and every notification goes through here.

        Raises:
            psycopg.OperationalError: no answer in time; the connection is of no use any more.
        """
        late = threading.Event()
        # A descriptor of our own: whatever happens to the connection, we never hit another one.
        with socket.socket(fileno=os.dup(self.fileno())) as wire:
            timer = threading.Timer(self.deadline, _break, [wire, late])
            timer.daemon = True
            timer.start()
            try:
                return super().wait(gen, *args, **kwargs)
            except psycopg.OperationalError as error:
                if late.is_set():
                    raise psycopg.OperationalError(
                        f"no answer within {self.deadline:g} s: the server is frozen or unreachable"
                    ) from error
                raise
            finally:
                timer.cancel()
                timer.join()


def _break(wire: socket.socket, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(OSError):  # the server went away just now
        wire.shutdown(socket.SHUT_RDWR)  # whoever waits for the socket now reads its end
