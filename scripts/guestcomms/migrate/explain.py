"""What the server said about a file, as one sentence with the place."""

from __future__ import annotations

import re

from guestcomms import db
from guestcomms.errors import RefusedError


def refused(path: str, text: str, error: db.DatabaseError, todo: str) -> RefusedError:
    """The error to raise for a file the server refused.

    Parameters: `text` is the file's content, `todo` what to do once the cause is repaired.
    """
    line = _line(text, error)
    where = f"{path}, line {line}" if line else path
    message = error.diag.message_primary or db.first_line(error)
    hint = f" ({error.diag.message_hint.rstrip('.')})" if error.diag.message_hint else ""
    detail = f" ({error.diag.message_detail.rstrip('.')})" if error.diag.message_detail else ""
    return RefusedError(f"{where}: {message}{detail}{hint}; {todo}.")


def _line(text: str, error: db.DatabaseError) -> int | None:
    """The line of the file, found by the line of the statement that the server quotes."""
    quoted = re.search(r"^LINE \d+: (.*)$", str(error), re.MULTILINE)
    if quoted is None:
        return None
    excerpt = quoted.group(1).strip().removeprefix("...").removesuffix("...")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if excerpt in line]
    return lines[0] if excerpt and len(lines) == 1 else None
