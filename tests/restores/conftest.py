"""One cluster for the folder, with memory for a million rows, and the oldest moment on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.ops.cluster.harness import Cluster
from tests.restores.story import Story, begin


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that `guestcomms up` has just made."""
    database = {"memory": "2GiB", "cores": 2}
    folder = tmp_path_factory.mktemp("pulumi")
    with closing(Cluster(folder, machines={"database": database})) as made:
        made.run("up", "--yes")
        yield made


@pytest.fixture(scope="session")
def story(cluster: Cluster) -> Story:
    """Guests, and a moment that the cluster goes back to when other tests are done."""
    return begin(cluster)
