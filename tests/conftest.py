"""What all tiers share: the tools of this clone first on PATH."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tools.command import BIN, ROOT, VENV

if TYPE_CHECKING:
    from tests.ops.cluster.harness import Cluster

os.environ["PATH"] = os.pathsep.join([str(VENV / "bin"), str(BIN), os.environ["PATH"]])

# The machine that runs the tests runs databases at the same time: slowness proves nothing there.
settings.register_profile("guestcomms", deadline=None, print_blob=True)
settings.load_profile("guestcomms")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what belongs into one process, and begin the longest of it early.

    The tests of the whole cluster share it; those of a file share a database. While the cluster
    waits for its machines, the other process has the processor.
    """
    quick, whole, rest = list[pytest.Item](), list[pytest.Item](), list[pytest.Item]()
    for item in items:
        shares = "cluster" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("cluster" if shares else str(item.path)))
        unit = item.path.is_relative_to(ROOT / "tests" / "unit")
        (whole if shares else quick if unit else rest).append(item)
    items[:] = [*quick, *whole, *rest]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that `guestcomms up` has just made, shared by the tiers that need a whole one."""
    from tests.ops.cluster.harness import Cluster as RealCluster

    with closing(RealCluster(tmp_path_factory.mktemp("pulumi"))) as made:
        made.run("up", "--yes")
        yield made
