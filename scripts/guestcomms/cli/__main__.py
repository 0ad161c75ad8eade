"""Entry point of `guestcomms`: every error becomes one sentence and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from rich.text import Text

from guestcomms.cli.app import app
from guestcomms.cli.common import details_shown, progress
from guestcomms.errors import GuestcommsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, which the help lists."""
    try:
        app(args=arguments, prog_name="guestcomms")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    except GuestcommsError as error:
        if details_shown():
            traceback.print_exc()
        progress.print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
