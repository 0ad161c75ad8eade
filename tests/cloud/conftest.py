"""Fixtures of the tests that live through whole stacks on the simulated AWS."""

from __future__ import annotations

from tests.ops.conftest import machine_image

__all__ = ["machine_image"]
