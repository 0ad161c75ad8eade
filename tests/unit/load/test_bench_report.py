"""docs/benchmarks.md keeps what another clone measured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from loadtest.bench.report import write_document

RESULT = {
    "name": "x", "ratio": 1.0, "target": 1, "at_most": False, "met": True, "subject": "a",
    "reference": "b", "subject_samples": [1.0], "reference_samples": [1.0], "unit": "s", "note": "",
}  # fmt: skip


def run(names: list[str], commit: str) -> dict[str, Any]:
    """A full run of these benchmarks."""
    return {
        "commit": commit, "time": "2026-11-23T00:00:00", "postgresql": "17.12",
        "machine": {"cores": 2, "memory_gib": 24},
        "results": {name: [RESULT] for name in names},
    }  # fmt: skip


def commits(document: Path) -> dict[str, str]:
    """Which commit each section is of."""
    found = re.findall(r"^## (\w+)\n\n`[^`]+`, commit (\w+)", document.read_text(), re.MULTILINE)
    return dict(found)


def test_sections_of_other_benchmarks_stay(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    write_document(run(["l4", "l5"], "aaa"), document)
    assert commits(document) == {"l4": "aaa", "l5": "aaa"}
    write_document(run(["l1", "l5"], "bbb"), document)
    assert commits(document) == {"l1": "bbb", "l4": "aaa", "l5": "bbb"}
    write_document(run(["l4"], "ccc"), document)
    assert commits(document) == {"l1": "bbb", "l4": "ccc", "l5": "bbb"}
    assert document.read_text().count("# Benchmarks") == 1
