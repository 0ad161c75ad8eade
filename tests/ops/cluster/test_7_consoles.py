"""The console pages on a cluster that lives: served, and about metrics that exist."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import requests

from infra.machine.panels import pages
from infra.spec import ClusterSpec
from tests.ops.cluster.harness import ROOT, Cluster
from tests.waiting import wait_until

PAGES = pages(ClusterSpec(stack="local"))
QUERIES = [
    query.expression.replace("$w", "1m")
    for page in PAGES
    for section in page.sections
    for panel in section.panels
    for query in panel.queries
]
METRIC = re.compile(
    r"\b(?:alertmanager|etcd|guestcomms|haproxy|node|patroni|pg|pgbackrest|pgbouncer|prometheus)_\w+"
    r"|\bup\b"
)
COLLECTED_SECONDS = 90
"""pgBackRest's exporter looks each minute."""


class Prometheus:
    """What answers at the stack's port, verified against the stack's authority."""

    def __init__(self, cluster: Cluster) -> None:
        consoles = cluster.json("status", ok=False)["consoles"]
        self._address = consoles.removesuffix("/consoles/overview.html")
        self._ca = str(ROOT / ".state" / "stacks" / cluster.stack / "ca.crt")

    def get(self, path: str, **parameters: str) -> str:
        """The text of a page; what is no success is the test's failure."""
        url = f"{self._address}/{path}"
        answer = requests.get(url, params=parameters, verify=self._ca, timeout=30)
        assert answer.ok, f"{parameters or path}: {answer.text}"
        return answer.text

    def query(self, expression: str) -> list[Any]:
        """The series that a query has now."""
        answer = json.loads(self.get("api/v1/query", query=expression))
        return list(answer["data"]["result"])


@pytest.fixture(scope="module")
def prometheus(cluster: Cluster) -> Prometheus:
    return Prometheus(cluster)


def test_status_leads_to_pages_that_are_served(prometheus: Prometheus) -> None:
    for page in PAGES:
        text = prometheus.get(f"consoles/{page.name}.html")
        assert f"<title>{page.name} · guestcomms</title>" in text
        assert page.about.split(".")[0] in text


def test_prometheus_answers_every_query_of_the_panels(prometheus: Prometheus) -> None:
    answered = [bool(prometheus.query(query)) for query in QUERIES]
    # Some have something to show only when something is wrong, or once an hour.
    assert sum(answered) > 0.75 * len(QUERIES)


def test_every_metric_of_the_panels_exists(prometheus: Prometheus) -> None:
    wanted = {name for query in QUERIES for name in METRIC.findall(query)}
    assert len(wanted) > 40

    def missing() -> list[str]:
        # A name alone: also of series that have ended, as of a member that led before.
        listed = json.loads(prometheus.get("api/v1/label/__name__/values"))["data"]
        return sorted(wanted - set(listed))

    wait_until(lambda: not missing(), COLLECTED_SECONDS, missing)
