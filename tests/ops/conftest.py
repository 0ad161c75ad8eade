"""Fixtures of the tests that run on a real Docker engine."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def machine_image() -> str:
    """Tag of the machine image, built if it is not there yet."""
    return "gc-machine"
