"""The committed Grafana dashboards are the panels."""

from __future__ import annotations

import json

import pytest

from infra.machine.panels import Kind, Page, pages
from infra.spec import ClusterSpec
from tools.dashboards import FOLDER, dashboards

MADE = dashboards()


def test_the_committed_dashboards_are_up_to_date() -> None:
    committed = {path.name: path.read_text("utf-8") for path in FOLDER.iterdir()}
    assert committed == MADE, "run `make dashboards`"


@pytest.mark.parametrize("page", pages(ClusterSpec(stack="local")), ids=lambda page: str(page.name))
def test_a_dashboard_asks_what_the_page_asks(page: Page) -> None:
    made = json.loads(MADE[f"{page.name}.json"])
    shown = [panel for panel in made["panels"] if panel["type"] != "row"]
    wanted = [panel for section in page.sections for panel in section.panels]
    assert [panel["title"] for panel in shown] == [panel.title for panel in wanted]
    for drawn, panel in zip(shown, wanted, strict=True):
        asked = [target["expr"].replace("$__rate_interval", "$w") for target in drawn["targets"]]
        assert asked == [query.expression for query in panel.queries]
        assert drawn["description"] == panel.about
        steps = drawn["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert len(steps) == max(1, len(panel.steps))
    assert Kind.ALERTS not in {panel["type"] for panel in shown}  # Grafana has no such panel


def test_panels_do_not_overlap() -> None:
    for text in MADE.values():
        cells: set[tuple[int, int]] = set()
        for panel in json.loads(text)["panels"]:
            at = panel["gridPos"]
            covered = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert at["x"] + at["w"] <= 24
            assert not cells & covered, panel["title"]
            cells |= covered
