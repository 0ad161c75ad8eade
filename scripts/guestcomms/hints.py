"""What an error tells a person to run: always as it can be typed in the clone."""

from __future__ import annotations


def command(words: str, stack: str = "local") -> str:
    """A call of our own command line on a stack, for a sentence."""
    option = "" if stack == "local" else f"--stack {stack} "
    return f"`.venv/bin/guestcomms {option}{words}`"


def up(stack: str) -> str:
    """The command that brings a stack up."""
    return "`make up`" if stack == "local" else command("up", stack)
