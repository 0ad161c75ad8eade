"""From a fresh clone to a working one: `python3 -m tools.bootstrap venv pulumi weed docker image`.

Brings the named tools to the machine, in the order given, with nothing but Python's standard
library. What PATH already has is used where it fits; what is missing is installed or built once
per machine (tools/cache.py).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tools import base_image, chromium, engine, k6, pulumi_cli, venv, weed
from tools.command import ToolError
from tools.progress import step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tools.progress import Step

OLDEST_PYTHON = (3, 11)
SYSTEM_PROGRAMS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
TOOLS: Mapping[str, Callable[[Step], None]] = {
    "venv": venv.ensure,
    "pulumi": pulumi_cli.ensure,
    "k6": k6.ensure,
    "weed": weed.ensure,
    "docker": engine.ensure,
    "chromium": chromium.ensure,
    "image": base_image.ensure,
}


def main(names: list[str]) -> int:
    """Ensure the named tools in the order given; return the program's exit status."""
    if sys.version_info < OLDEST_PYTHON:
        sys.stderr.write(
            f"{sys.executable} is Python {sys.version.split()[0]}, and 3.11 or newer is needed:"
            " install one and run `make PYTHON=python3.11 …`.\n"
        )
        return 1
    unknown = [name for name in names if name not in TOOLS]
    if unknown or not names:
        sys.stderr.write(
            f"No such tool: {' '.join(unknown) or '(none named)'}; there are {' '.join(TOOLS)}.\n"
        )
        return 2
    if "weed" in names and sys.platform != "linux":
        sys.stderr.write(
            f"This is {sys.platform}, and a cluster needs Linux: the S3 server program that is"
            " copied into a machine is the host's. Run make on Linux.\n"
        )
        return 1
    # A root shell made by `su` may lack these; debootstrap, dockerd and iptables are there.
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_PROGRAMS])
    try:
        for name in names:
            with step(name) as current:
                TOOLS[name](current)
    except ToolError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
