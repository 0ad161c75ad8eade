"""The panels as Grafana dashboards, for teams that have a Grafana: `make dashboards`.

Written to dashboards/grafana/, with the thresholds of the default spec; a test compares.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from infra.machine.panels import Column, Kind, Names, Page, Panel, Query, State, Step, Unit, pages
from infra.spec import ClusterSpec
from tools.command import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = ROOT / "dashboards" / "grafana"
TAG = "guestcomms"
SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${source}")
GRID = 24
HEIGHTS = {Kind.TILE: 4, Kind.CHART: 8, Kind.STATES: 9, Kind.TABLE: 9, Kind.ALERTS: 12}
UNITS = {
    Unit.NUMBER: "short",
    Unit.RATE: "cps",
    Unit.PERCENT: "percent",
    Unit.BYTES: "bytes",
    Unit.BYTES_RATE: "binBps",
    Unit.SECONDS: "s",
    Unit.MILLISECONDS: "ms",
}
COLOURS = {
    State.OK: "green",
    State.INFO: "blue",
    State.WARNING: "orange",
    State.CRITICAL: "red",
    State.UNKNOWN: "gray",
}

Drawn = stat.Panel | timeseries.Panel | statetimeline.Panel | table.Panel


def main() -> int:
    """Write every dashboard; returns the exit status."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stderr.write(f"wrote {(FOLDER / name).relative_to(ROOT)}\n")
    return 0


def dashboards() -> dict[str, str]:
    """File name → JSON of every page, with the default thresholds."""
    return {f"{page.name}.json": _dashboard(page) for page in pages(ClusterSpec(stack="default"))}


def _dashboard(page: Page) -> str:
    made = (
        builders.Dashboard(f"guestcomms: {page.name}")
        .uid(f"guestcomms-{page.name}")
        .description(page.about)
        .tags([TAG])
        .readonly()
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .with_variable(builders.DatasourceVariable("source").label("Prometheus").type("prometheus"))
        .link(
            builders.DashboardLink("guestcomms")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .keep_time(True)
            .include_vars(True)
        )
    )
    for section in page.sections:
        if section.title:
            made.with_row(builders.Row(section.title))
        for panel in section.panels:
            made.with_panel(_panel(panel))
    return json.dumps(made.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _panel(panel: Panel) -> Drawn:
    drawn = _DRAW[panel.kind](panel)
    return (
        drawn.title(panel.title)
        .description(panel.about)
        .datasource(SOURCE)
        .span(panel.width * GRID // 12)
        .height(HEIGHTS[panel.kind])
        .unit(UNITS[panel.unit])
        .no_value(panel.nothing or "no data")
        .thresholds(_thresholds(panel.steps))
        .mappings(_mappings(panel.names))
    )


def _tile(panel: Panel) -> Drawn:
    [query] = panel.queries
    names = common.BigValueTextMode.NAME if query.legend else common.BigValueTextMode.VALUE
    return (
        stat.Panel()
        .with_target(_target(query, 0))
        .text_mode(names)
        .graph_mode(common.BigValueGraphMode.AREA)
        .color_mode(
            common.BigValueColorMode.VALUE if panel.steps else common.BigValueColorMode.NONE
        )
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _chart(panel: Panel) -> Drawn:
    limits = any(value for value, _ in panel.steps)
    style = (
        common.GraphThresholdsStyleMode.DASHED if limits else common.GraphThresholdsStyleMode.OFF
    )
    return (
        timeseries.Panel()
        .targets([_target(query, number) for number, query in enumerate(panel.queries)])
        .min(0)
        .fill_opacity(5)
        .show_points(common.VisibilityMode.NEVER)
        .thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(style))
    )


def _states(panel: Panel) -> Drawn:
    [query] = panel.queries
    return (
        statetimeline.Panel()
        .with_target(_target(query, 0))
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.9)
    )


def _table(panel: Panel) -> Drawn:
    made = table.Panel().targets(
        [_row(query, number) for number, query in enumerate(panel.queries)]
    )
    titles = {f"Value #{_letter(n)}": query.legend for n, query in enumerate(panel.queries)}
    if len(panel.queries) == 1:
        titles["Value"] = panel.queries[0].legend
    times = ["Time", *(f"Time {number}" for number in range(1, len(panel.queries) + 1))]
    options = {"renameByName": titles, "excludeByName": dict.fromkeys(times, True)}
    made.with_transformation(_transformation("joinByField", byField=panel.by, mode="outer"))
    made.with_transformation(_transformation("organize", **options))
    for query in panel.queries:
        made.override_by_name(query.legend, _column(query.column))
    return made


def _alerts(panel: Panel) -> Drawn:
    """Grafana's own list knows only Grafana's rules: this asks Prometheus for its own."""
    labels = ("alertname", "severity", "machine", "alertstate")
    hidden = ("Time", "Value", "__name__", "instance", "job")
    options = {
        "indexByName": {label: place for place, label in enumerate(labels)},
        "excludeByName": dict.fromkeys(hidden, True),
    }
    return (
        table.Panel()
        .targets([_row(query, number) for number, query in enumerate(panel.queries)])
        .with_transformation(_transformation("organize", **options))
    )


_DRAW = {
    Kind.TILE: _tile,
    Kind.CHART: _chart,
    Kind.STATES: _states,
    Kind.TABLE: _table,
    Kind.ALERTS: _alerts,
}


def _target(query: Query, number: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(_letter(number))
        .datasource(SOURCE)
        .expr(query.expression.replace("$w", "$__rate_interval"))
        .legend_format(query.legend.replace("{", "{{").replace("}", "}}"))
    )


def _row(query: Query, number: int) -> prometheus.Dataquery:
    """A table wants the newest value of each series, with its labels as columns."""
    return _target(query, number).instant().format(PromQueryFormat.TABLE)


def _letter(number: int) -> str:
    return chr(ord("A") + number)


def _transformation(name: str, **options: object) -> dashboard.DataTransformerConfig:
    return dashboard.DataTransformerConfig(id_val=name, options=options)


def _thresholds(steps: Sequence[Step]) -> builders.ThresholdsConfig:
    made = [dashboard.Threshold(value, COLOURS[state]) for value, state in steps]
    # Grafana wants the first from the lowest value on.
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps(made or [dashboard.Threshold(None, "text")])
    )


def _mappings(names: Names) -> list[dashboard.ValueMapping]:
    results = {
        str(value): dashboard.ValueMappingResult(text=text, color=COLOURS[state], index=place)
        for place, (value, (text, state)) in enumerate(names.items())
    }
    return [dashboard.ValueMap(results)] if results else []


def _column(column: Column) -> list[dashboard.DynamicConfigValue]:
    values: dict[str, object] = {"unit": UNITS[column.unit]}
    if column.names:
        values["mappings"] = _mappings(column.names)
    if column.steps:
        values["thresholds"] = _thresholds(column.steps).build()
    if column.names or column.steps:
        values["custom.cellOptions"] = {"type": "color-text"}
    return [dashboard.DynamicConfigValue(name, value) for name, value in values.items()]


if __name__ == "__main__":
    sys.exit(main())
