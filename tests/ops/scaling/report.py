"""The table of docs/rolling-changes.md, from the evidence of the last run of each change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
HEAD = (
    "| change | machines | took | acknowledged | lost | doubled | failed calls | write gap"
    " | leaders |\n|---|---|---|---|---|---|---|---|---|\n"
)


def table(lines: list[str], titles: Mapping[str, str]) -> str:
    """One row for each change that was made, by its last run."""
    last = {one["change"]: one for one in map(json.loads, lines)}
    return HEAD + "".join(
        f"| {title} | {one['nodes']} | {one['seconds']:.0f} s | {one['acknowledged']:,}"
        f" | {one['lost']} | {one['doubled']} | {one['failed_calls']}"
        f" | {one['write_gap_seconds']:.1f} s | {one['leaders']} |\n"
        for name, title in titles.items()
        if (one := last.get(name)) and not one["problem"]
    )


def write_document(evidence: Path, document: Path, titles: Mapping[str, str]) -> None:
    """Put the table between its marks in the document."""
    text = document.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    made = table(evidence.read_text("utf-8").splitlines(), titles)
    document.write_text(f"{head}{BEGIN}\n{made}\n{END}{tail}", "utf-8")
