"""One real cluster for all tests of this folder; every test leaves it healthy.

The files are numbered: they tell one story, from standing up to coming back from the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.ops.cluster.harness import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that `guestcomms up` has just made."""
    with closing(Cluster(tmp_path_factory.mktemp("pulumi"))) as made:
        made.run("up", "--yes")
        yield made


@pytest.fixture(autouse=True)
def _leave_it_healthy(cluster: Cluster) -> Iterator[None]:
    yield
    cluster.wait_healthy()
