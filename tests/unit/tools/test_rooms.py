"""Rules between the rooms that import-linter cannot express."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

import pytest

from tools.command import ROOT

if TYPE_CHECKING:
    from pathlib import Path

INFRA = ROOT / "infra"
AGENT = INFRA / "agent"
# Debian's python3-psycopg is the one package that every machine has for the agent.
AGENT_MAY_IMPORT = sys.stdlib_module_names | {"psycopg"}
CODE = sorted(
    path for name in ("infra", "scripts", "tests") for path in (ROOT / name).rglob("*.py")
)


def imported(path: Path) -> set[str]:
    """What a file imports by absolute name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {node.module or ""}
    return names


def packages(names: set[str]) -> set[str]:
    """The first words of dotted names."""
    return {name.partition(".")[0] for name in names}


def modules(folder: Path) -> set[str]:
    """What Python finds in a folder that it has on its path."""
    return {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_of_infra_have_one_name(path: Path) -> None:
    # Pulumi puts infra/ itself on the path: `import spec` would work there, as a second module.
    second_names = modules(INFRA) - {"__init__", "__main__", "__pycache__"}
    assert not packages(imported(path)) & second_names


def test_no_module_of_infra_hides_one_of_python() -> None:
    assert not modules(INFRA) & sys.stdlib_module_names


@pytest.mark.parametrize("path", sorted(AGENT.rglob("*.py")), ids=lambda path: path.name)
def test_the_agent_needs_nothing_but_python_and_psycopg(path: Path) -> None:
    own = {name for name in imported(path) if name.startswith("infra.agent")}
    assert packages(imported(path) - own) <= AGENT_MAY_IMPORT
