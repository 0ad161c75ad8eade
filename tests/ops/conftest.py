"""Fixtures of the tests that run on a real Docker engine."""

from __future__ import annotations

import pytest

from infra.local.image import ImageProvider, image_tag
from infra.machine.image import dockerfile, setup_script


@pytest.fixture(scope="session")
def machine_image() -> str:
    """Tag of the machine image, built if it is not there yet."""
    files = {"setup.sh": setup_script()}
    tag = image_tag("guestcomms-machine", dockerfile(), files)
    paths = {name: str(path) for name, path in files.items()}
    ImageProvider().create({"tag": tag, "dockerfile": dockerfile(), "files": paths})
    return tag
