"""Pages of docs/runbooks, in parts."""

from __future__ import annotations

import yaml

from tests.ops.cluster.harness import ROOT

_RULES = ROOT / "infra/machine/files/monitor/etc/prometheus/rules/backups.yml"
BACKUPS: list[str] = [
    rule["alert"]
    for group in yaml.safe_load(_RULES.read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
"""Those of backups and restores, as their alerts are named."""


def section(page: str, title: str) -> str:
    """What stands below a heading of a page, up to the next."""
    text = (ROOT / "docs" / "runbooks" / f"{page}.md").read_text("utf-8")
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]
