"""What apt knows, on a system that has it."""

from __future__ import annotations

import shutil

import pytest

from tools import debian


@pytest.mark.skipif(shutil.which("apt-cache") is None, reason="apt is Debian's")
def test_a_package_that_does_not_exist_is_not_known() -> None:
    assert not debian.known("no-package-has-this-name")
    assert debian.known("apt")
