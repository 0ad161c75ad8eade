"""What all tiers share: the tools of this clone first on PATH."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tools.command import BIN, VENV

if TYPE_CHECKING:
    from tests.ops.cluster.harness import Cluster

os.environ["PATH"] = os.pathsep.join([str(VENV / "bin"), str(BIN), os.environ["PATH"]])

# The machine that runs the tests runs databases at the same time: slowness proves nothing there.
settings.register_profile("guestcomms", deadline=None, print_blob=True)
settings.load_profile("guestcomms")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that `guestcomms up` has just made, shared by the tiers that need a whole one."""
    from tests.ops.cluster.harness import Cluster as RealCluster

    with closing(RealCluster(tmp_path_factory.mktemp("pulumi"))) as made:
        made.run("up", "--yes")
        yield made
