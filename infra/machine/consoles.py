"""Prometheus console pages: the panels, as files that Prometheus itself serves.

Source: https://prometheus.io/docs/visualization/consoles/
"""

from __future__ import annotations

import json
from typing import Any

from infra.machine.model import File
from infra.machine.panels import Column, Page, Panel, pages
from infra.machine.render import file
from infra.spec import ClusterSpec

TEMPLATES = "/etc/prometheus/consoles"
LIBRARIES = "/etc/prometheus/console_libraries"


def files(spec: ClusterSpec) -> tuple[File, ...]:
    """The frame that all pages share, and one file per page."""
    every = pages(spec)
    names = [page.name for page in every]
    return (
        file("monitor", f"{LIBRARIES}/guestcomms.lib", {"pages": names}),
        *(File(f"{TEMPLATES}/{page.name}.html", _template(page)) for page in every),
        # Prometheus' own pages link here.
        File(f"{TEMPLATES}/index.html", _forward(names[0])),
    )


def _template(page: Page) -> str:
    """A Go template: everything in it is text but for the two calls of the frame."""
    document = json.dumps(_page(page), separators=(",", ":"), ensure_ascii=False)
    # As in a page's script: what looks like its end, or like a template's action, is escaped.
    document = document.replace("<", "\\u003c").replace("{{", "{\\u007b")
    return (
        f'{{{{template "top" "{page.name}"}}}}\n'
        f'<script type="application/json" id="page">{document}</script>\n'
        '{{template "bottom"}}\n'
    )


def _forward(name: str) -> str:
    return f'<!DOCTYPE html>\n<meta http-equiv="refresh" content="0; url={name}.html">\n'


def _page(page: Page) -> dict[str, Any]:
    return {
        "about": page.about,
        "sections": [
            [section.title, [_panel(panel) for panel in section.panels]]
            for section in page.sections
        ],
    }


def _panel(panel: Panel) -> dict[str, Any]:
    queries = [
        [query.expression, query.legend, *([_column(query.column)] if panel.by else [])]
        for query in panel.queries
    ]
    shown = {
        "kind": panel.kind,
        "title": panel.title,
        "about": panel.about,
        "width": panel.width,
        "queries": queries,
        "by": panel.by,
        "nothing": panel.nothing,
        **_column(Column(panel.unit, panel.steps, panel.names)),
    }
    return {key: value for key, value in shown.items() if value}


def _column(column: Column) -> dict[str, Any]:
    shown = {"unit": column.unit, "steps": column.steps, "names": column.names}
    return {key: value for key, value in shown.items() if value}
