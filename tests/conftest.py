"""What all tiers share: the tools of this clone first on PATH."""

from __future__ import annotations

import os

from hypothesis import settings

from tools.command import BIN, VENV

os.environ["PATH"] = os.pathsep.join([str(VENV / "bin"), str(BIN), os.environ["PATH"]])

# The machine that runs the tests runs databases at the same time: slowness proves nothing there.
settings.register_profile("guestcomms", deadline=None, print_blob=True)
settings.load_profile("guestcomms")
