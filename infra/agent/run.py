"""Running other programs: argument lists, a deadline, captured output, and nothing else."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.agent.errors import AgentError

SHOWN_CHARACTERS = (
    600  # of a program's complaint: enough for its reason, short enough for one log line
)


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    program: str
    status: int
    stdout: str
    stderr: str

    def complaint(self) -> str:
        """Return the end of what the program said on stderr, as one printable line."""
        return one_line(self.stderr) or f"{self.program} said nothing, exit status {self.status}"


def run(
    command: Sequence[str],
    *,
    timeout: float,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
) -> Outcome:
    """Run `command` and return how it ended, whatever its exit status.

    Args:
        command: program and arguments; no shell sees them.
        timeout: seconds after which it is killed.
        environment: variables set besides the agent's own.
        stdin: what the program reads; nothing by default.

    Raises:
        AgentError: the program is missing, or took longer than `timeout`.
    """
    try:
        done = subprocess.run(
            list(command),
            input=stdin.encode(),
            capture_output=True,
            timeout=timeout,
            env={**os.environ, **(environment or {})},
            check=False,
        )
    except FileNotFoundError as error:
        raise AgentError(f"{command[0]} is not installed on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise AgentError(f"{command[0]} gave no answer within {timeout:g} s") from error
    return Outcome(
        program=command[0],
        status=done.returncode,
        stdout=done.stdout.decode(errors="replace"),
        stderr=done.stderr.decode(errors="replace"),
    )


def one_line(said: str) -> str:
    """Return the last SHOWN_CHARACTERS printable characters of `said` with white space folded.

    A program may print what it read, and a wrongly deciphered file is binary.
    """
    folded = " ".join(said.split())
    return "".join(c for c in folded if c.isprintable() and c != "\ufffd")[-SHOWN_CHARACTERS:]
