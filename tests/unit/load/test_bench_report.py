"""docs/benchmarks.md keeps what another clone measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from loadtest.bench.report import write_document

RESULT = {
    "name": "x", "ratio": 1.0, "target": 1, "at_most": False, "met": True, "subject": "a",
    "reference": "b", "subject_samples": [1.0], "reference_samples": [1.0], "unit": "s", "note": "",
}  # fmt: skip


def run(folder: Path, names: list[str], commit: str) -> Path:
    """A full run of these benchmarks."""
    folder.mkdir()
    document: dict[str, Any] = {
        "quick": False, "commit": commit, "time": "2026-11-23T00:00:00", "postgresql": "17.12",
        "machine": {"cores": 2, "memory_gib": 24},
        "results": {name: [RESULT] for name in names},
    }  # fmt: skip
    (folder / "one.json").write_text(json.dumps(document))
    return folder


def test_sections_of_other_benchmarks_stay(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    write_document(run(tmp_path / "first", ["l4", "l5"], "aaa"), document)
    before = document.read_text()
    write_document(run(tmp_path / "second", ["l1", "l5"], "bbb"), document)
    lines = [line for line in document.read_text().splitlines() if line.startswith(("#", "`"))]
    assert [line.split(",")[1].strip() for line in lines if line[0] == "`"] == [
        "commit bbb", "commit aaa", "commit bbb",
    ]  # fmt: skip
    assert [line for line in lines if line.startswith("## ")] == ["## l1", "## l4", "## l5"]
    write_document(tmp_path / "first", document)
    write_document(tmp_path / "nothing", document)
    assert document.read_text().count("## ") == 3
    assert before.splitlines()[:6] == document.read_text().splitlines()[:6]
