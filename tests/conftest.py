"""What all tiers share: the tools of this clone first on PATH."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from tools.command import BIN, VENV

if TYPE_CHECKING:
    from tests.ops.cluster.harness import Cluster

WITH_CLUSTER = ("tests/ops/cluster/", "tests/load/test_front_door.py")

os.environ["PATH"] = os.pathsep.join([str(VENV / "bin"), str(BIN), os.environ["PATH"]])

# The machine that runs the tests runs databases at the same time: slowness proves nothing there.
settings.register_profile("guestcomms", deadline=None, print_blob=True)
settings.load_profile("guestcomms")


class OneClusterScheduling(LoadFileScheduling):  # type: ignore[misc]
    """A file's tests share a database, those of the whole cluster share it: in one process each."""

    def _split_scope(self, nodeid: str) -> str:
        return "cluster" if nodeid.startswith(WITH_CLUSTER) else super()._split_scope(nodeid)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt here: a shell's background job would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneClusterScheduling:
    """Distribute the tests over the processes of `--numprocesses`."""
    return OneClusterScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin the cluster early: while one process waits for its machines, the other has the core."""
    order = ("tests/unit/", *WITH_CLUSTER)
    items.sort(key=lambda item: not item.nodeid.startswith(order))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that `guestcomms up` has just made, shared by the tiers that need a whole one."""
    from tests.ops.cluster.harness import Cluster as RealCluster

    with closing(RealCluster(tmp_path_factory.mktemp("pulumi"))) as made:
        made.run("up", "--yes")
        yield made
