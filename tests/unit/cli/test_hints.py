"""What we tell people to run can be run as it is printed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from guestcomms import hints

NOT_ON_PATH = re.compile(r"`(guestcomms|pulumi|weed|k6|pytest) ")


def test_a_hint_names_the_stack_that_is_meant() -> None:
    assert hints.command("logs pg-1") == "`.venv/bin/guestcomms logs pg-1`"
    assert hints.command("logs pg-1", "blue") == "`.venv/bin/guestcomms --stack blue logs pg-1`"
    assert hints.up("local") == "`make up`"
    assert hints.up("blue") == "`.venv/bin/guestcomms --stack blue up`"


def printed(file: Path) -> Iterator[str]:
    """The texts of a module that are not documentation."""
    tree = ast.parse(file.read_text())
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documentation:
            yield str(node.value)


def test_the_documentation_of_a_task_can_be_typed_as_it_stands(repository: Path) -> None:
    files = sorted((repository / "docs" / "how-to").glob("*.md"))
    assert files
    bare = re.compile(r"(^|[`$(]|    ) ?(guestcomms|pulumi) [a-z-]", re.MULTILINE)
    assert not [file.name for file in files if bare.search(file.read_text())]


@pytest.mark.parametrize("folder", ["scripts/guestcomms", "tools"])
def test_no_text_names_a_program_that_is_not_on_path(repository: Path, folder: str) -> None:
    files = sorted((repository / folder).rglob("*.py"))
    assert files
    wrong = {
        f"{file.relative_to(repository)}: {text[:80]}"
        for file in files
        for text in printed(file)
        # The head of schema.sql says where the file comes from; nobody runs it from there.
        if NOT_ON_PATH.search(text) and not text.startswith("--")
    }
    assert not wrong
