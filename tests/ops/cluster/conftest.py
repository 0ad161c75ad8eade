"""One real cluster for all tests of this folder; every test leaves it healthy.

The files are numbered: they tell one story, from standing up to coming back from the store.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ops.cluster.harness import Cluster


@pytest.fixture(autouse=True)
def _leave_it_healthy(cluster: Cluster) -> Iterator[None]:
    yield
    cluster.wait_healthy()
