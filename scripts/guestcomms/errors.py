"""The errors of the command line: each is one sentence that ends with a next step.

A command catches `GuestcommsError`, prints its text and leaves with its exit code; anything else
is a bug and keeps its traceback. Scripts tell the kinds apart by exit code:

    1  the operation failed
    2  wrong use of the command line
    3  the target cannot be reached
    4  somebody else is in the way now; the same command works later
    5  a person has to change something first
    6  the target was examined and is not as it should be
"""

from __future__ import annotations


class GuestcommsError(Exception):
    """What went wrong, with the value that was wrong, and what to do next, in one sentence."""

    exit_code: int = 1

    @property
    def message(self) -> str:
        """The sentence itself."""
        return str(self)


class UsageError(GuestcommsError):
    """The command line asks for something that does not exist or contradicts itself."""

    exit_code = 2


class UnreachableError(GuestcommsError):
    """A server, a machine or a stack does not answer."""

    exit_code = 3


class BusyError(GuestcommsError):
    """Another session holds what this command needs; nothing was changed, run it again."""

    exit_code = 4


class RefusedError(GuestcommsError):
    """Going on would do damage or cannot work, until a person changes something."""

    exit_code = 5


class UnhealthyError(GuestcommsError):
    """The command did its work: what it examined is not in order."""

    exit_code = 6
