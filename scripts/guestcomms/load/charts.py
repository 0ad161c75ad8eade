"""Line charts as SVG: no script, no network, one file that can be mailed."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 760, 220, 60, 24, 10
COLOURS = (
    "#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf", "#7f7f7f",
)  # fmt: skip
DASHES = {"solid": "none", "dashed": "7 3", "dotted": "2 2", "double": "10 2 2 2"}
"""How lines of the same colour differ: in the legend (CSS), in the chart (SVG)."""
Points = Sequence[tuple[float, float | None]]


def chart(title: str, unit: str, lines: Mapping[str, Points]) -> str:
    """A chart over the seconds of a run, or nothing if there is nothing to draw."""
    drawn = {name: [(x, y) for x, y in each if y is not None] for name, each in lines.items()}
    drawn = {name: each for name, each in drawn.items() if each}
    if not drawn:
        return ""
    right = max(x for each in drawn.values() for x, _ in each) or 1
    top = max(y for each in drawn.values() for _, y in each) * 1.05 or 1

    def place(x: float, y: float) -> str:
        across = LEFT + (WIDTH - LEFT - 10) * max(0.0, x) / right
        down = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * y / top
        return f"{across:.1f},{down:.1f}"

    parts = [
        _grid(top, right),
        *(
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" stroke-dasharray="{dash}"'
            f' points="{" ".join(place(x, y) for x, y in each)}"/>'
            for (colour, dash, _), each in zip(_looks(), drawn.values(), strict=False)
        ),
    ]
    legend = " ".join(
        f'<span><i style="border-top:3px {border} {colour}"></i>{html.escape(name)}</span>'
        for (colour, _, border), name in zip(_looks(), drawn, strict=False)
    )
    label = html.escape(f"{title} ({unit})")
    return (
        f'<figure><figcaption>{label}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{label}">{"".join(parts)}</svg><p class="legend">{legend}</p></figure>'
    )


def _looks() -> Iterator[tuple[str, str, str]]:
    """Colour, dashes and border of one line after the other; all differ until both are used up."""
    while True:
        for border, dash in DASHES.items():
            for colour in COLOURS:
                yield colour, dash, border


def _grid(top: float, right: float) -> str:
    lines = []
    for part in range(5):
        y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * part / 4
        lines.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{top * part / 4:,.3g}</text>'
        )
        x = LEFT + (WIDTH - LEFT - 10) * part / 4
        lines.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">'
            f"{right * part / 4:,.0f} s</text>"
        )
    return "".join(lines)
