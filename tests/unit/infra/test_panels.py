"""What can be known of the panels without a cluster: they are whole, and drawn as described."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from infra.machine import machines
from infra.machine.consoles import LIBRARIES, TEMPLATES
from infra.machine.panels import Kind, Page, Panel, pages
from infra.spec import ClusterSpec
from tools.command import ROOT

PAGES = pages(ClusterSpec(stack="local"))
PANELS = [panel for page in PAGES for section in page.sections for panel in section.panels]
METRICS = ROOT / "docs" / "reference" / "metrics.md"


def delivered(**config: Any) -> dict[str, str]:
    built = machines(ClusterSpec.load("local", config), "0" * 64)
    (monitor,) = (machine for machine in built if machine.files)
    assert monitor.name == "monitor-1"
    return monitor.files


def drawn(page: Page, files: dict[str, str]) -> dict[str, Any]:
    """The panels as the page's script will read them."""
    text = files[f"{TEMPLATES}/{page.name}.html"]
    (document,) = re.findall(r'<script type="application/json" id="page">(.*)</script>', text)
    return dict(json.loads(document))


def test_the_pages_that_were_promised() -> None:
    names = [page.name for page in PAGES]
    assert names == ["overview", "database", "pooler", "backups", "messaging", "alerts"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_rows_are_full(page: Page) -> None:
    for section in page.sections:
        assert sum(panel.width for panel in section.panels) % 12 == 0, section.title


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel.title))
def test_a_panel_explains_itself_and_judges_in_order(panel: Panel) -> None:
    assert panel.about.endswith(".")
    assert panel.queries
    assert bool(panel.by) == (panel.kind is Kind.TABLE)
    for steps in (panel.steps, *(query.column.steps for query in panel.queries)):
        values = [value for value, _ in steps]
        assert not values or values[0] is None
        assert values[1:] == sorted(value for value in values if value is not None)
    if panel.kind is Kind.STATES:
        assert panel.names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_a_page_is_a_template_with_two_calls_and_its_panels(page: Page) -> None:
    files = delivered()
    text = files[f"{TEMPLATES}/{page.name}.html"]
    assert re.findall(r"\{\{.*?\}\}", text) == [
        f'{{{{template "top" "{page.name}"}}}}',
        '{{template "bottom"}}',
    ]
    shown = [panel for _, panels in drawn(page, files)["sections"] for panel in panels]
    wanted = [panel for section in page.sections for panel in section.panels]
    assert [(one["title"], [query[:2] for query in one["queries"]]) for one in shown] == [
        (panel.title, [[query.expression, query.legend] for query in panel.queries])
        for panel in wanted
    ]


def test_thresholds_are_those_of_the_spec() -> None:
    changed = delivered(alerts={"disk_usage_warning": 61.5})
    assert "[61.5," in changed[f"{TEMPLATES}/overview.html"]
    assert "[61.5," not in delivered()[f"{TEMPLATES}/overview.html"]


def test_every_page_links_to_every_page() -> None:
    frame = delivered()[f"{LIBRARIES}/guestcomms.lib"]
    for page in PAGES:
        assert f'<a href="{page.name}.html"' in frame
    assert "{%" not in frame


def test_a_page_is_no_part_of_user_data() -> None:
    (monitor,) = (item for item in machines(ClusterSpec(stack="local"), "0" * 64) if item.files)
    written = {item["path"] for item in yaml.safe_load(monitor.user_data)["write_files"]}
    assert not written & set(monitor.files)
    assert all(not item.files for item in machines(ClusterSpec(stack="local"), "0" * 64)
               if item.name != "monitor-1")  # fmt: skip


def test_what_the_database_measures_is_documented() -> None:
    text = " ".join(query.expression for panel in PANELS for query in panel.queries)
    measured = set(re.findall(r'metric="(\w+)"', text))
    assert len(measured) > 10
    documented = set(re.findall(r"`(\w+)`", METRICS.read_text("utf-8")))
    assert measured <= documented
