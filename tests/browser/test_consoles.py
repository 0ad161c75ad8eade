"""The console pages as people see them: `make browser`, in Debian's Chromium, without a window."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from infra.machine.panels import Page, pages
from infra.spec import ClusterSpec
from tests.ops.cluster.harness import ROOT, Cluster
from tests.waiting import wait_until
from tools.browser import WIDTH, Browser, browser

PAGES = pages(ClusterSpec(stack="local"))
NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
"""Chromium breaks requests off when a container of the host starts; the page asks again."""
SETTLE_SECONDS = 360
"""Until the slowest figures are there: the exporter asks for readiness every five minutes."""
MAY_BE_EMPTY = {"Chunks", "Alerts over time"}
"""What is sent here has left the queue before it is counted, and nothing is wrong."""
CARDS = """[...document.querySelectorAll("section.panel")].map((panel) => ({
    title: panel.querySelector("h3").textContent,
    drawn: panel.querySelectorAll("path[d], rect, td, .value").length,
    text: panel.querySelector(".body").textContent,
    wide: panel.getBoundingClientRect().right > innerWidth,
}))"""


@pytest.fixture(scope="module")
def window(cluster: Cluster) -> Iterator[Browser]:
    cluster.run("backup", "run", "full")
    cluster.run("demo")  # nothing is measured of a database without organizations
    ca = (ROOT / ".state" / "stacks" / cluster.stack / "ca.crt").read_text()
    with browser("127.0.0.1", cluster.ports["prometheus"], ca) as opened:
        yield opened


def _empty(window: Browser, page: Page) -> list[str]:
    window.open(page.name)
    cards = window.ask(CARDS)
    nothing = ("no data", "no data in this time", "")
    return [
        card["title"]
        for card in cards
        if (not card["drawn"] or card["text"] in nothing) and card["title"] not in MAY_BE_EMPTY
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_every_panel_shows_something(window: Browser, page: Page) -> None:
    wait_until(lambda: not _empty(window, page), SETTLE_SECONDS, lambda: _empty(window, page))
    cards = window.ask(CARDS)
    wanted = [panel.title for section in page.sections for panel in section.panels]
    assert [card["title"] for card in cards] == wanted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_a_page_fits_a_laptop_and_does_not_complain(window: Browser, page: Page) -> None:
    window.complaints()
    window.open(page.name)
    assert window.ask("document.documentElement.scrollWidth") <= WIDTH
    assert not [card["title"] for card in window.ask(CARDS) if card["wide"]]
    assert [text for text in window.complaints() if NETWORK_CHANGED not in text] == []


def test_a_complaint_would_be_seen(window: Browser) -> None:
    window.open("overview")
    window.complaints()
    window.ask("fetch('nowhere.html').then(() => 0)")
    assert any("nowhere.html" in text for text in window.complaints())


def test_navigation_keeps_the_time(window: Browser) -> None:
    window.open("overview", "6h")
    assert window.ask("document.querySelector('nav a[aria-current]').textContent") == "overview"
    links = window.ask("[...document.querySelectorAll('nav a')].map((link) => link.href)")
    assert [link.rsplit("/", 1)[1] for link in links] == [
        f"{page.name}.html?range=6h" for page in PAGES
    ]


def test_a_query_that_fails_takes_no_other_panel_with_it(window: Browser) -> None:
    window.open("overview")
    window.ask("(charts[0].queries[0][0] = 'sum(', refresh().then(() => 0))")
    first, *others = window.ask(CARDS)
    assert "parse error" in first["text"]
    assert all("parse error" not in card["text"] for card in others)


def test_the_colours_follow_the_system(window: Browser) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    window.open("overview")
    light = window.ask(background)
    window.dark(on=True)
    try:
        assert window.ask(background) != light
    finally:
        window.dark(on=False)


def test_a_figure_on_the_page_is_prometheus_own(window: Browser, cluster: Cluster) -> None:
    """The leader's name, against what the agents say."""
    window.open("overview")
    [leader] = [card for card in window.ask(CARDS) if card["title"] == "Leader"]
    assert leader["text"] == cluster.leader


def test_the_pages_draw_themselves_again(window: Browser) -> None:
    window.open("overview")
    first = int(window.ask("document.body.dataset.drawn"))
    time.sleep(13)
    assert int(window.ask("document.body.dataset.drawn")) > first
