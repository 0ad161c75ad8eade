"""docs/reference/sqlstates.md names every SQLSTATE of ours, with who raises it, and no other."""

from __future__ import annotations

import re

from guestcomms import paths

CODE = re.compile(r"GC\d{3}")


def raised() -> set[str]:
    files = [
        *(paths.ROOT / "functions").rglob("*.sql"),
        *(paths.ROOT / "infra/machine/files/bootstrap").glob("*.sql"),
    ]
    pattern = re.compile(r"""['"](GC\d{3})['"]""")  # comments name codes without quotes
    return {code for file in files for code in pattern.findall(file.read_text(encoding="utf-8"))}


def documented() -> list[str]:
    text = (paths.ROOT / "docs/reference/sqlstates.md").read_text(encoding="utf-8")
    return [line[2:7] for line in text.splitlines() if CODE.fullmatch(line[2:7])]


def test_every_code_is_documented_once() -> None:
    assert len(raised()) > 10
    assert sorted(documented()) == sorted(raised())
