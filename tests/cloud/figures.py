"""Figures that a run measures, for whoever runs it: `make aws` shows them."""

from __future__ import annotations

import sys


def told(words: str) -> None:
    """Say a figure."""
    sys.stdout.write(f"\n{words}\n")
